package testbed

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Proxy passes connections on to a server, until it is told to cut or to hang them, or to lose an answer. It is safe for
// concurrent use.
type Proxy struct {
	Addr string

	target string
	mu     sync.Mutex
	cond   *sync.Cond
	conns  map[net.Conn]struct{}
	cut    bool
	hung   bool
	word   string // of a request whose answer is to be held back; empty for none
	silent bool   // answers are held back
}

// NewProxy listens on loopback until the test ends. The target is host:port, or the path of a unix socket.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	return newProxy(t, "tcp", "127.0.0.1:0", target)
}

// NewSocketProxy is NewProxy at a unix socket, which it makes.
func NewSocketProxy(t testing.TB, socket, target string) *Proxy {
	t.Helper()
	return newProxy(t, "unix", socket, target)
}

func newProxy(t testing.TB, network, at, target string) *Proxy {
	t.Helper()
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, conns: map[net.Conn]struct{}{}}
	p.cond = sync.NewCond(&p.mu)
	t.Cleanup(func() { _ = l.Close(); p.Cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

// Cut closes all connections and refuses new ones until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	p.cut, p.hung, p.word, p.silent = true, false, "", false
	for c := range p.conns {
		_ = c.Close()
	}
	p.cond.Broadcast()
	p.mu.Unlock()
}

// Hang keeps connections open and passes nothing on, in neither direction, until Heal or Cut.
func (p *Proxy) Hang() { p.mu.Lock(); p.hung = true; p.mu.Unlock() }

// HangAfter passes requests on up to one that contains the word within a single write, and no answers from then on, until Heal or Cut.
func (p *Proxy) HangAfter(word string) { p.mu.Lock(); p.word = word; p.mu.Unlock() }

// Heal passes everything on again, also what was held back.
func (p *Proxy) Heal() {
	p.mu.Lock()
	p.cut, p.hung, p.word, p.silent = false, false, "", false
	p.cond.Broadcast()
	p.mu.Unlock()
}

func (p *Proxy) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	if !p.add(c) {
		return
	}
	defer p.remove(c)
	network := "tcp"
	if strings.HasPrefix(p.target, "/") {
		network = "unix"
	}
	up, err := net.Dial(network, p.target)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	if !p.add(up) {
		return
	}
	defer p.remove(up)
	done := make(chan struct{}, 2)
	for _, v := range []valve{{p, up, c, true}, {p, c, up, false}} {
		go func() {
			_, _ = io.Copy(v, v.from) // either end closes both
			done <- struct{}{}
		}()
	}
	<-done
}

func (p *Proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cut {
		p.conns[c] = struct{}{}
	}
	return !p.cut
}

func (p *Proxy) remove(c net.Conn) { p.mu.Lock(); delete(p.conns, c); p.mu.Unlock() }

// valve holds writes back while the proxy hangs.
type valve struct {
	p        *Proxy
	to, from net.Conn
	asks     bool // it passes requests on
}

func (v valve) Write(b []byte) (int, error) {
	v.p.mu.Lock()
	if v.asks && v.p.word != "" && bytes.Contains(b, []byte(v.p.word)) {
		v.p.silent = true
	}
	for v.p.hung || v.p.silent && !v.asks {
		v.p.cond.Wait()
	}
	v.p.mu.Unlock()
	return v.to.Write(b)
}
