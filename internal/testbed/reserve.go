package testbed

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Reserve takes a TCP port of a loopback IPv4 address until release is called. Who is given the address can
// listen there, stop and listen again, any number of times, because Linux lets sockets with SO_REUSEADDR
// share an address of which one at most listens (socket(7)); Go, Java and PostgreSQL set it. Meanwhile the
// kernel gives the port to nobody who asks for any port, and while nobody listens connections are refused.
func Reserve(ip string) (addr string, release func(), err error) {
	fail := func(err error) (string, func(), error) {
		return "", nil, fmt.Errorf("reserve a port of %s: %w", ip, err)
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return fail(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(os.NewSyscallError("socket", err))
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: a.As4()})
	}
	var got unix.Sockaddr
	if err == nil {
		got, err = unix.Getsockname(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return fail(err)
	}
	return fmt.Sprintf("%s:%d", ip, got.(*unix.SockaddrInet4).Port), func() { _ = unix.Close(fd) }, nil
}

// Addr is an address of 127.0.0.1 that is reserved until the test ends.
func Addr(t testing.TB) string {
	t.Helper()
	addr, release, err := Reserve("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr
}

// Listen listens at a reserved address. Where a listener was closed just now, its socket may live on for a moment: whatever process
// the test starts at that time has a copy of it between fork and exec.
func Listen(addr string) (net.Listener, error) {
	for deadline := time.Now().Add(startWithin); ; time.Sleep(time.Millisecond) {
		l, err := net.Listen("tcp", addr)
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(deadline) {
			return l, err
		}
	}
}
