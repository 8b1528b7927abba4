package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"syscall"
	"time"
)

// ServeDebug serves net/http/pprof below /debug/pprof/ on a unix socket until ctx ends. Only the user of
// the process and root may connect. A socket that a dead process left behind is replaced; one that
// somebody answers on is not. Whoever is still connected at the end is cut, which is no error.
func ServeDebug(ctx context.Context, socket string, log *slog.Logger) error {
	ln, err := ListenUnix(ctx, socket, 0o600)
	if err != nil {
		return fmt.Errorf("serve profiles: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	if err := (Server{Handler: mux, Log: log, Grace: time.Second}).Serve(ctx, ln); !errors.Is(err, errCut) {
		return err
	}
	return nil
}

// ListenUnix listens on a unix socket with that mode. A socket that a dead process left behind is replaced;
// one that somebody answers on is not.
func ListenUnix(ctx context.Context, socket string, mode os.FileMode) (net.Listener, error) {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	switch {
	case err == nil:
		_ = conn.Close()
		return nil, fmt.Errorf("listen on %s: another process serves it: %w", socket, syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED): // a socket, and nobody behind it
		if info, err := os.Lstat(socket); err == nil && info.Mode().Type() == os.ModeSocket {
			if err := os.Remove(socket); err != nil {
				return nil, err
			}
		}
	}
	// On Linux the file gets the mode that the socket has before it is bound, so it is never open to
	// others, not even for a moment. What the umask takes away is given back after that.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmod error
		if err := c.Control(func(fd uintptr) { chmod = syscall.Fchmod(int(fd), uint32(mode)) }); err != nil {
			return err
		}
		return chmod
	}}
	ln, err := lc.Listen(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(socket, mode); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}
