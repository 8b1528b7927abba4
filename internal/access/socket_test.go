package access_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"glia/internal/access"
	"glia/internal/pki"
)

// atSocket is a client that comes to a unix socket as another user of the host. The kernel notes who has
// connected, so that one thread of the test is that user for a moment, and ends after it.
func atSocket(t *testing.T, socket string, uid, gid int) *http.Client {
	t.Helper()
	dial := func() (net.Conn, error) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), socket)
		defer f.Close()
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); e != 0 {
			return nil, e
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			return nil, e
		}
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
			return nil, err
		}
		return net.FileConn(f)
	}
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p, DialContext: func(context.Context, string, string) (net.Conn, error) {
		var conn net.Conn
		err := errors.New("no answer")
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // for good: the thread ends with the goroutine
			conn, err = dial()
		}()
		<-done
		return conn, err
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestGuard_KnowsTheUsersOfItsSocket(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can be other users")
	}
	b := newBed(t, all{}, func(o *access.Options) {
		o.Access.Operate, o.Access.Read = []string{"user:4242"}, []string{"group:4711"}
	})
	for dir := b.dir; dir != "/tmp" && dir != "/"; dir = dir[:strings.LastIndexByte(dir, '/')] {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // other users go through it
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name     string
		uid, gid int
		may, not string
	}{
		{"root", 0, 0, "RepairService/Approve", ""},
		{"4242", 4242, 1, "RepairService/Cancel", "RepairService/Approve"},
		{"4343", 4343, 4711, "RepairService/GetStatus", "RepairService/Cancel"},
		{"4444", 4444, 4242, "", "RepairService/GetStatus"},
	} {
		c := atSocket(t, b.socket, tt.uid, tt.gid)
		if tt.may != "" {
			wantRefused(t, call(t, c, "http://local", "/glia.v1."+tt.may, false), connect.CodeUnimplemented, "is not implemented")
		}
		if tt.not != "" {
			wantRefused(t, call(t, c, "http://local", "/glia.v1."+tt.not, false), connect.CodePermissionDenied, "user "+tt.name, `when "user:`+tt.name+`" is added to`)
		}
	}
	// Not even a certificate with that name is the user, and the TLS port knows no users.
	c := b.client(pki.Request{Name: "root"})
	wantRefused(t, call(t, c, b.url, "/glia.v1.RepairService/GetStatus", false), connect.CodePermissionDenied, "certificate root has no role")
}
