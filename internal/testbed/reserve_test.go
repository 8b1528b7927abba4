package testbed_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"glia/internal/testbed"
)

func TestReserve_KeepsThePortWhileNobodyListens(t *testing.T) {
	t.Parallel()
	addr := testbed.Addr(t)
	port := netAddr(t, addr).Port
	for range 3 {
		if _, err := net.Dial("tcp", addr); !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatalf("dial while nobody listens: %v", err)
		}
		// Whoever asks for any port, here of a range of one, does not get this one.
		any := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			return errors.Join(c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, port<<16|port)
			}), err)
		}}
		for _, a := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
			if l, err := any.Listen(context.Background(), "tcp4", a); !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.ENOPROTOOPT) {
				t.Fatalf("listen on %s: %v, %v", a, l, err)
			}
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		_ = l.Close()
	}
}

func netAddr(t *testing.T, addr string) *net.TCPAddr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
