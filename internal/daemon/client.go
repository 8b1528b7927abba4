package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout = 5 * time.Second // TCP, and again TLS

	// A connection that is silent for this long is probed, so that a stream whose server lost power
	// ends within the sum of both.
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
)

// HTTPClient is for the APIs of other glia programs: HTTP/2 with TLS, or without when t is nil. It never
// does the other of the two: a plain client refuses https and one with TLS refuses http. Proxies of the
// environment and redirects are not followed. A request has no deadline of its own, because it may be
// a stream: the caller's context sets it.
func HTTPClient(t *TLS) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	protocols := new(http.Protocols)
	tr := &http.Transport{
		Protocols:       protocols,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		IdleConnTimeout: 90 * time.Second,
	}
	if t == nil {
		protocols.SetUnencryptedHTTP2(true)
		tr.DialContext = dialer.DialContext
		tr.DialTLSContext = func(_ context.Context, _, addr string) (net.Conn, error) {
			return nil, fmt.Errorf("call %s with TLS: no certificate of ours is configured: set tls.cert, tls.key and tls.ca", addr)
		}
	} else {
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
		tr.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) {
			return nil, fmt.Errorf("call %s without TLS: refused, because TLS is configured: use https", addr)
		}
		tr.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialTLS(ctx, dialer, t, network, addr)
		}
	}
	return &http.Client{
		Transport: tr,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("refused: no API of ours redirects")
		},
	}
}

func dialTLS(ctx context.Context, dialer *net.Dialer, t *TLS, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	d := tls.Dialer{NetDialer: dialer, Config: t.Client(host)}
	return d.DialContext(ctx, network, addr)
}
