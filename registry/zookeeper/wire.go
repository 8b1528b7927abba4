package zookeeper

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// wire makes the connections to the servers. It adds what the library lacks: TLS, names instead of addresses that
// were looked up once, jitter before connecting again, a bound on a server that accepts and does not
// answer, the session timeout that the server has decided on, and a clean start after a break: see packets.
type wire struct {
	tls     *tls.Config
	timeout time.Duration  // of the session, as asked for
	watched func() []watch // what the server may hold a watch for
	random  func(n time.Duration) time.Duration

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
		time.Sleep(w.random(min(jitter, w.timeout/10)))
	}
	c, err := w.connect(network, addr, timeout)
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	p := &packets{
		from:   bufio.NewReader(c),
		agreed: func(d time.Duration) { w.mu.Lock(); w.agreed = d; w.mu.Unlock() },
		broken: func(err error) []watch {
			w.mu.Lock()
			w.err = fmt.Errorf("connection to %s: %w", c.RemoteAddr(), err)
			w.mu.Unlock()
			return w.watched()
		},
	}
	return &conn{Conn: c, packets: p, longest: w.timeout}, nil
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

// conn is one connection. The library reads it in one goroutine.
type conn struct {
	net.Conn
	*packets
	longest time.Duration // that a server may be silent
}

func (c *conn) Read(b []byte) (int, error) { return c.packets.Read(b) }

// SetReadDeadline keeps the library from waiting for several session timeouts on a server that hangs.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.err != nil {
		return nil // nothing is going to be waited for
	}
	if latest := time.Now().Add(c.longest); !t.IsZero() && t.After(latest) {
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
