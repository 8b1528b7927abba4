package zookeeper

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/go-zookeeper/zk"
)

// maxPacket is the longest answer that is taken, in bytes. A server takes and gives 1 MB of data by default
// (jute.maxbuffer); a list of children may be longer.
const maxPacket = 64 << 20

// The first answer on a connection has the version of the protocol, the session timeout in milliseconds and more,
// each a big-endian integer of 4 bytes: ZooKeeper's zookeeper.jute, ConnectResponse.
const timeoutAt = 4

// packets hands the answers of one connection on, each whole, as the library would read them. When the
// connection breaks, it first tells the library of each watch as if it had fired, so that the library has none
// left to set again on the next connection: it would do that at an unsynchronised moment, and from the
// newest change that it has seen by then, so that changes made in between would not be told. We read
// everything again instead.
//
// It is used by one goroutine.
type packets struct {
	from   *bufio.Reader
	agreed func(time.Duration) // is told the session timeout that the server has decided on
	broken func(error) []watch // is told why the connection is of no more use, and answers what was watched

	greeted bool
	rest    []byte
	err     error
}

func (p *packets) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		if p.rest, p.err = p.next(); p.err != nil {
			if watches := p.broken(p.err); p.greeted {
				p.rest = fired(watches)
			}
			if len(p.rest) == 0 {
				return 0, p.err
			}
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// next reads an answer with its length.
func (p *packets) next() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(p.from, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxPacket {
		return nil, fmt.Errorf("it sends an answer of %d bytes, more than %d; is it a ZooKeeper server?", n, maxPacket)
	}
	packet := make([]byte, len(length)+int(n))
	copy(packet, length[:])
	body := packet[len(length):]
	if _, err := io.ReadFull(p.from, body); err != nil {
		return nil, err
	}
	if !p.greeted && len(body) >= timeoutAt+4 {
		if ms := binary.BigEndian.Uint32(body[timeoutAt:]); ms > 0 { // 0 says that the session has expired
			p.greeted = true
			p.agreed(time.Duration(ms) * time.Millisecond)
		}
	}
	return packet, nil
}

// notification is the request number of an event that the server sends by itself: zookeeper.jute, ReplyHeader
// with xid -1 as 4 bytes, followed by a WatcherEvent.
const notification = 0xffffffff

// fired encodes one event for each watch.
func fired(watches []watch) []byte {
	var out []byte
	for _, w := range watches {
		kind := zk.EventNodeDataChanged
		if w.children {
			kind = zk.EventNodeChildrenChanged
		}
		out = binary.BigEndian.AppendUint32(out, uint32(16+12+len(w.path)))
		out = append(binary.BigEndian.AppendUint32(out, notification), make([]byte, 12)...) // transaction and error
		out = binary.BigEndian.AppendUint32(out, uint32(kind))
		out = binary.BigEndian.AppendUint32(out, uint32(zk.StateSyncConnected))
		out = binary.BigEndian.AppendUint32(out, uint32(len(w.path)))
		out = append(out, w.path...)
	}
	return out
}
