package daemon

import (
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// door counts the connections of a server that never come to a request: handshakes of TLS that fail, and
// bytes that are no HTTP. net/http tells of the former only by its log, and of the latter by no more than
// that the connection was used and closed. It is safe for concurrent use.
type door struct {
	refused func(reason string)
	log     *slog.Logger
	open    sync.Map // net.Conn -> *visit
}

// visit is one connection.
type visit struct {
	spoke     atomic.Bool // some bytes came
	requested atomic.Bool // a whole head of a request did
}

// knock is a connection without TLS. net/http does not tell of one that says less than the preface of HTTP/2.
type knock struct {
	net.Conn
	visit visit
}

func (k *knock) Read(p []byte) (int, error) {
	n, err := k.Conn.Read(p)
	if n > 0 {
		k.visit.spoke.Store(true)
	}
	return n, err
}

// SyscallConn lets the kernel be asked about the connection.
func (k *knock) SyscallConn() (syscall.RawConn, error) { return k.Conn.(syscall.Conn).SyscallConn() }

// CloseWrite is what net/http ends a connection with whose client still sends.
func (k *knock) CloseWrite() error { return k.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// doorway wraps the connections of a listener.
type doorway struct{ net.Listener }

func (d doorway) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &knock{Conn: c}, nil
}

type visitKey struct{}

func newDoor(refused func(string), log *slog.Logger) *door { return &door{refused: refused, log: log} }

// guard puts the door before a server that does not serve yet.
func (d *door) guard(srv *http.Server) {
	handler, more := srv.Handler, srv.ConnContext
	srv.ErrorLog = log.New(d, "", 0)
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		v := new(visit)
		if k, ok := c.(*knock); ok {
			v = &k.visit
		}
		d.open.Store(c, v)
		ctx = context.WithValue(ctx, visitKey{}, v)
		if more != nil {
			ctx = more(ctx, c)
		}
		return ctx
	}
	srv.ConnState = func(c net.Conn, s http.ConnState) {
		switch s {
		case http.StateActive:
			if v, ok := d.open.Load(c); ok {
				v.(*visit).spoke.Store(true)
			}
		case http.StateClosed, http.StateHijacked:
			if v, ok := d.open.LoadAndDelete(c); ok && v.(*visit).spoke.Load() && !v.(*visit).requested.Load() {
				d.refused("not http")
			}
		}
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
			v.requested.Store(true)
		}
		handler.ServeHTTP(w, r)
	})
}

// Write takes one line of the log of net/http.
func (d *door) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if _, why, failed := strings.Cut(text, "TLS handshake error from "); failed && !strings.HasSuffix(why, ": EOF") { // that one only looked whether somebody listens
		d.refused(handshake(why))
	}
	d.log.Debug(text)
	return len(line), nil
}

// handshake is the reason of a failed handshake in few words, by the words of crypto/tls for it.
func handshake(why string) string {
	for _, known := range []struct{ words, reason string }{
		{"has expired or is not yet valid", "certificate expired"},
		{"unknown authority", "certificate of a foreign authority"},
		{"didn't provide a certificate", "no certificate"},
		{"unsupported versions", "tls version"},
		{"protocol version", "tls version"},
		{"does not look like a TLS handshake", "not tls"},
		{"HTTP request to an HTTPS server", "not tls"},
		{"failed to verify certificate", "certificate"},
	} {
		if strings.Contains(why, known.words) {
			return known.reason
		}
	}
	return "handshake"
}
