// Package adminsocket asks the daemon of a Ceph OSD about itself, by its admin socket on the same host. It
// needs no key, no monitor and no network, and it asks only: nothing of the OSD is changed.
//
// It guarantees that an answer is of the OSD that was meant, by its uuid, since ids are given anew. It fails
// with the deadline of the context where a daemon hangs, and says so where none listens. Counters that an
// answer lacks are absent, not 0: they have other names in other versions.
package adminsocket

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	// longest is more than any answer that is asked for here; a perf dump has some 60 kB.
	longest = 8 << 20

	// slowest bounds one question where the context does not.
	slowest = 5 * time.Second
)

// ErrOther is returned when another daemon listens than the one that was meant.
var ErrOther = errors.New("another daemon listens there")

// Ask sends one command and returns the answer. Protocol (src/common/admin_socket.cc): a JSON object and a zero
// byte; then the length of the answer in four bytes, big endian, and the answer.
func Ask(ctx context.Context, path, command string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, slowest, fmt.Errorf("no answer after %s", slowest))
	defer cancel()
	b, err := ask(ctx, path, command)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("ask %s for %s: %w", path, command, err)
	}
	return b, nil
}

func ask(ctx context.Context, path, command string) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	request, err := json.Marshal(map[string]string{"prefix": command, "format": "json"})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(request, 0)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > longest {
		return nil, fmt.Errorf("an answer of %d bytes is no answer", n)
	}
	body := make([]byte, n)
	_, err = io.ReadFull(conn, body)
	return body, err
}

// Reads is what BlueStore counted since the daemon started.
type Reads struct {
	Errors Counter // reads of a client that ended in an I/O error
	// Spurious reads: the checksum was wrong at first, and right when the block was read again.
	Spurious Counter
}

// Counter is a number, or nothing where the version has none.
type Counter struct {
	Value uint64
	Known bool
}

// DecodeStatus checks whose answer to "status" it is.
func DecodeStatus(b []byte, uuid string) error {
	var s struct {
		UUID *string `json:"osd_fsid"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	switch {
	case s.UUID == nil || uuid == "":
		return errors.New("it does not tell its osd_fsid")
	case *s.UUID != uuid:
		return fmt.Errorf("osd_fsid is %s, not %s: %w", *s.UUID, uuid, ErrOther)
	}
	return nil
}

// DecodePerf reads the answer to "perf dump". Up to Ceph 16 the counters have bluestore_ in front.
func DecodePerf(b []byte) (Reads, error) {
	var p struct {
		BlueStore map[string]json.RawMessage `json:"bluestore"`
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return Reads{}, err
	}
	if p.BlueStore == nil {
		return Reads{}, errors.New("it has no part named bluestore")
	}
	read := func(names ...string) (Counter, error) {
		for _, name := range names {
			if raw, ok := p.BlueStore[name]; ok {
				c := Counter{Known: true}
				if err := json.Unmarshal(raw, &c.Value); err != nil || string(raw) == "null" {
					return Counter{}, fmt.Errorf("%s is %.40s, which is no number", name, raw)
				}
				return c, nil
			}
		}
		return Counter{}, nil
	}
	failed, err1 := read("bluestore_read_eio", "read_eio")
	spurious, err2 := read("bluestore_reads_with_retries", "reads_with_retries")
	if err := errors.Join(err1, err2); err != nil {
		return Reads{}, err
	}
	return Reads{failed, spurious}, nil
}

// Op is one operation of a client.
type Op struct {
	Took time.Duration // until it was done, or until now
	Ago  time.Duration // since it was done; 0 while it is under way
}

// DecodeOps reads the answers to "dump_historic_slow_ops", the operations that took longer than the daemon's limit,
// of which it keeps the last twenty for ever; and to "dump_blocked_ops", those that are under way for so long.
func DecodeOps(b []byte) ([]Op, error) {
	var s struct {
		Ops *[]struct {
			Age  float64 `json:"age"`      // seconds since it began
			Took float64 `json:"duration"` // seconds
		} `json:"ops"` // Ops in the first; case does not matter
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	if s.Ops == nil {
		return nil, errors.New("it has no part named ops")
	}
	out := make([]Op, len(*s.Ops))
	for i, op := range *s.Ops {
		out[i] = Op{Took: seconds(op.Took), Ago: max(0, seconds(op.Age)-seconds(op.Took))}
	}
	return out, nil
}

// seconds is bounded by a day, which is longer than anything here takes.
func seconds(s float64) time.Duration {
	return time.Duration(max(0, min(s, 86400)) * float64(time.Second))
}
