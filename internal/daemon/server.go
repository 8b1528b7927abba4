package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server serves HTTP/1.1 and HTTP/2 on one port, with TLS or without. Requests may stream for as long
// as they like in both directions; a client that is gone is noticed by pings.
type Server struct {
	Handler http.Handler
	TLS     *tls.Config  // nil: plain, including HTTP/2 by prior knowledge
	Log     *slog.Logger // what net/http complains about, at level debug

	// ConnContext adds what is known of a connection to the contexts of its requests; nil for nothing.
	ConnContext func(ctx context.Context, c net.Conn) context.Context

	// Refused is told of connections that never came to a request, by reason; nil for nobody.
	Refused func(reason string)

	// Grace is how long requests may go on after the end was asked for. After half of it their contexts
	// are cancelled, after all of it their connections are cut. 0 means 6 seconds.
	Grace time.Duration
}

// errCut says that requests, or connections that had not come to one, were cut at the end.
var errCut = errors.New("were cut")

// Serve serves until ctx ends, and closes the listener. It returns nil when all requests ended within
// the grace.
func (s Server) Serve(ctx context.Context, ln net.Listener) error {
	grace := s.Grace
	if grace == 0 {
		grace = 6 * time.Second
	}
	requests, cancelRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelRequests()

	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.TLS != nil)
	protocols.SetUnencryptedHTTP2(s.TLS == nil)
	srv := &http.Server{
		Handler:     s.Handler,
		TLSConfig:   s.TLS,
		Protocols:   protocols,
		BaseContext: func(net.Listener) context.Context { return requests },
		// No timeout for reading or writing a whole request: streams are open for days.
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnContext:       s.ConnContext,
	}
	if s.Refused != nil {
		newDoor(s.Refused, s.Log).guard(srv)
		if s.TLS == nil {
			ln = doorway{ln}
		}
	}

	served := make(chan error, 1)
	go func() {
		if s.TLS != nil {
			served <- srv.ServeTLS(ln, "", "")
		} else {
			served <- srv.Serve(ln)
		}
	}()
	select {
	case err := <-served:
		_ = srv.Close()
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}

	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	defer time.AfterFunc(grace/2, cancelRequests).Stop()
	err := srv.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("requests did not end within %s and %w", grace, errCut)
	}
	_ = srv.Close()
	<-served
	if err != nil {
		return fmt.Errorf("stop serving %s: %w", ln.Addr(), err)
	}
	return nil
}
