package zookeeper

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// wire makes the connections to the servers. It adds what the library lacks: TLS, names instead of addresses that
// were looked up once, jitter before connecting again, a bound on a server that accepts and does not
// answer, and the session timeout that the server has decided on.
type wire struct {
	tls     *tls.Config
	timeout time.Duration // of the session, as asked for

	mu     sync.Mutex
	dialed bool
	err    error         // of the last attempt
	agreed time.Duration // session timeout as the server wants it; 0 before the first session
}

// jitter is the longest random wait before a connection is made again. When a server restarts, its clients
// come back spread over this time.
const jitter = 500 * time.Millisecond

func (w *wire) dial(network, addr string, timeout time.Duration) (net.Conn, error) {
	w.mu.Lock()
	again := w.dialed
	w.dialed = true
	w.mu.Unlock()
	if again {
		time.Sleep(rand.N(min(jitter, w.timeout/10)))
	}
	c, err := w.connect(network, addr, timeout)
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, wire: w}, nil
}

func (w *wire) connect(network, addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	d := net.Dialer{}
	if w.tls == nil {
		return d.DialContext(ctx, network, addr)
	}
	return (&tls.Dialer{NetDialer: &d, Config: w.tls}).DialContext(ctx, network, addr)
}

func (w *wire) problem() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// sessionTimeout is what the server has decided on, or what it is going to be asked for.
func (w *wire) sessionTimeout() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.agreed > 0 {
		return w.agreed
	}
	return w.timeout
}

// The first answer on a connection has its length, the version of the protocol, the session timeout in
// milliseconds and more, each a big-endian integer of 4 bytes: ZooKeeper's zookeeper.jute, ConnectResponse.
const (
	connectResponseHead = 12
	timeoutAt           = 8
)

// conn is one connection. The library reads it in one goroutine.
type conn struct {
	net.Conn
	wire *wire
	head []byte // of the first answer
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if missing := connectResponseHead - len(c.head); missing > 0 && n > 0 {
		c.head = append(c.head, b[:min(n, missing)]...)
		if len(c.head) == connectResponseHead {
			if ms := binary.BigEndian.Uint32(c.head[timeoutAt:]); ms > 0 { // 0 says that the session has expired
				c.wire.mu.Lock()
				c.wire.agreed = time.Duration(ms) * time.Millisecond
				c.wire.mu.Unlock()
			}
		}
	}
	if err != nil {
		c.wire.mu.Lock()
		c.wire.err = fmt.Errorf("connection to %s: %w", c.RemoteAddr(), err)
		c.wire.mu.Unlock()
	}
	return n, err
}

// SetReadDeadline keeps the library from waiting for several session timeouts on a server that hangs.
func (c *conn) SetReadDeadline(t time.Time) error {
	if latest := time.Now().Add(c.wire.timeout); !t.IsZero() && t.After(latest) {
		t = latest
	}
	return c.Conn.SetReadDeadline(t)
}

// rotation offers the servers one after the other, by name.
type rotation struct {
	mu      sync.Mutex
	servers []string
	next    int
	tried   int // in a row without success
}

var _ zk.HostProvider = (*rotation)(nil)

func (r *rotation) Init(servers []string) error { r.servers = servers; return nil }
func (r *rotation) Len() int                    { return len(r.servers) }
func (r *rotation) Connected()                  { r.mu.Lock(); r.tried = 0; r.mu.Unlock() }

// Next returns a server, and whether all of them were tried in vain, so that the library pauses.
func (r *rotation) Next() (server string, pause bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pause = r.tried >= len(r.servers)
	if pause {
		r.tried = 0
	}
	r.tried++
	server = r.servers[r.next]
	r.next = (r.next + 1) % len(r.servers)
	return server, pause
}
