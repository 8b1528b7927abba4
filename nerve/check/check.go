// Package check asks a service of the host whether it works: over TCP, UDP, a unix socket, HTTP, gRPC, the protocol of a database or a
// queue, the admin socket of a Ceph daemon, or by a command.
//
// It guarantees that a probe ends with its context, and that a History counts as Airbnb's nerve 0.9.7 does. A probe that fails says why in
// words that an operator can act on. Names are resolved at each probe.
package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Check is one way to ask. It is safe for concurrent use.
type Check interface {
	// Probe returns nil when the service works, and otherwise why it does not. It ends when ctx does.
	Probe(ctx context.Context) error
}

// Noop always passes.
type Noop struct{}

// Probe is part of Check.
func (Noop) Probe(context.Context) error { return nil }

// Address is where a service listens.
type Address struct {
	Host string // name or address, IPv4 or IPv6
	Port int
}

func (a Address) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// Login is with whom a check speaks.
type Login struct {
	User, Password string
	Database       string // may be empty
}

// dialer leaves keep-alive out, which is four system calls of each: no connection here lasts until it would begin.
var dialer = net.Dialer{KeepAlive: -1}

// conversation does something over a connection that ends with ctx, and not later.
func conversation(ctx context.Context, network, address string, do func(net.Conn) error) error {
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return plain(ctx, err)
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	return plain(ctx, do(c))
}

// plain says that the time was over where that is the cause.
func plain(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}
