package uevent

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// The multicast groups of NETLINK_KOBJECT_UEVENT. The kernel tells of a device at once; udevd tells it
	// again when it has made the links below /dev, by which the place of a new disk is known.
	groupKernel = 1
	groupUdev   = 2

	// queue is how much the kernel keeps for us, in bytes; each event takes one to three kilobytes of it.
	queue = 8 << 20

	// longest is more than any event has: the kernel's have 2048 bytes of properties at most
	// (UEVENT_BUFFER_SIZE), udevd's some more.
	longest = 64 << 10
)

// Listener is an open socket. Run may be called once.
type Listener struct{ file *os.File }

// Listen opens the socket. From then on the kernel keeps events for Run.
func Listen() (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen to uevents: open a netlink socket: %w", err)
	}
	l := &Listener{os.NewFile(uintptr(fd), "uevents")}
	// Root may have more than net.core.rmem_max; others get what that allows.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, queue)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to uevents: ask who sends them: %w", err), l.Close())
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groupKernel | groupUdev}); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to uevents: join their groups: %w", err), l.Close())
	}
	return l, nil
}

// Close lets go of the socket.
func (l *Listener) Close() error { return l.file.Close() }

// Run tells of disks until ctx ends, which is no error, and closes the socket. Batches are told one after
// another; while one is told, the next one is gathered.
func (l *Listener) Run(ctx context.Context, tell func(Batch)) error {
	ctx, cancel := context.WithCancel(ctx)
	g := newGatherer()
	told := make(chan struct{})
	go func() { defer close(told); g.run(ctx, tell) }()
	defer func() { <-told }()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })() // wakes the reader
	defer func() { _ = l.Close() }()

	conn, err := l.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("listen to uevents: %w", err)
	}
	buf, control := make([]byte, longest), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		var n, controlled, flags int
		var from unix.Sockaddr
		var received error
		err := conn.Read(func(fd uintptr) bool {
			n, controlled, flags, from, received = unix.Recvmsg(int(fd), buf, control, 0)
			return !errors.Is(received, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("listen to uevents: %w", err)
		case errors.Is(received, unix.EINTR):
		case errors.Is(received, unix.ENOBUFS):
			g.add("", true)
		case received != nil:
			return fmt.Errorf("listen to uevents: %w", received)
		case !trusted(from, control[:controlled]):
		case flags&unix.MSG_TRUNC != 0:
			g.add("", true)
		default:
			if e, err := Parse(buf[:n]); err == nil && e.Disk() {
				g.add(e.Name, false)
			}
		}
	}
}

// trusted says whether a message comes from the kernel, or from root, as udevd's do.
func trusted(from unix.Sockaddr, control []byte) bool {
	sender, ok := from.(*unix.SockaddrNetlink)
	if !ok {
		return false
	}
	if sender.Groups == groupKernel {
		return sender.Pid == 0
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return false
	}
	who, err := unix.ParseUnixCredentials(&messages[0])
	return err == nil && who.Uid == 0
}
