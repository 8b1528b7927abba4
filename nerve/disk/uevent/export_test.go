package uevent

import (
	"context"

	"golang.org/x/sys/unix"
)

// Gatherer is the gathering alone, without a socket.
type Gatherer struct{ g *gatherer }

// NewGatherer makes an empty one.
func NewGatherer() Gatherer { return Gatherer{newGatherer()} }

// Add notes an event.
func (g Gatherer) Add(name string, lost bool) { g.g.add(name, lost) }

// Run tells the batches.
func (g Gatherer) Run(ctx context.Context, tell func(Batch)) { g.g.run(ctx, tell) }

// SetQueue makes the socket's queue so small that it overflows.
func (l *Listener) SetQueue(bytes int) error {
	conn, err := l.file.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = conn.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes) })
	if err != nil {
		return err
	}
	return set
}

// Trusted is the check of a sender.
var Trusted = trusted
