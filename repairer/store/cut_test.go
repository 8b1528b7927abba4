package store_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"glia"
	"glia/internal/testbed"
	"glia/repairer"
	"glia/repairer/store"
)

// network is a way to the server that can swallow everything, as a firewall that forgot a connection does.
type network struct {
	dir  string
	hole chan struct{} // closed: nothing gets through any more
	end  chan struct{}
}

func newNetwork(t *testing.T, server string) *network {
	t.Helper()
	dir, err := os.MkdirTemp("", "glia-net-") // short, for the name of the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const socket = ".s.PGSQL.5432"
	l, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	n := &network{dir: dir, hole: make(chan struct{}), end: make(chan struct{})}
	var pipes sync.WaitGroup
	pipes.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", filepath.Join(server, socket))
			if err != nil {
				_ = near.Close()
				continue
			}
			pipes.Go(func() { n.pipe(near, far) })
			pipes.Go(func() { n.pipe(far, near) })
		}
	})
	t.Cleanup(func() { close(n.end); _ = l.Close(); pipes.Wait() })
	return n
}

func (n *network) pipe(to, from net.Conn) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-n.end:
		case <-stop:
		}
		_, _ = to.Close(), from.Close()
	}()
	_, _ = io.Copy(swallower{n, to}, from)
}

type swallower struct {
	*network
	to io.Writer
}

func (s swallower) Write(b []byte) (int, error) {
	select {
	case <-s.hole:
		return len(b), nil
	default:
		return s.to.Write(b)
	}
}

func TestPostgres_CutOffLeaderStopsBeforeAnotherBegins(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	way := newNetwork(t, srv.Dir())
	a := openPostgres(t, "postgres:///"+name+"?user=glia&host="+way.dir, store.Options{TTL: short, Holder: "a"})
	if _, err := a.AddPause(t.Context(), repairer.Pause{Scope: "fleet"}); err != nil {
		t.Fatal(err)
	}
	close(way.hole)
	under := make(chan error, 1)
	go func() {
		_, err := a.AddPause(t.Context(), repairer.Pause{Scope: "fleet"})
		under <- err
	}()
	b := openPostgres(t, srv.URL(name), store.Options{TTL: short, Holder: "b"})
	select {
	case <-a.Lost():
	default:
		t.Error("another leads, and the one that was cut off still believes that it does")
	}
	select {
	case err := <-under:
		if !errors.Is(err, glia.ErrStaleEpoch) {
			t.Errorf("a write that was under way: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("a write that was under way hangs")
	}
	if _, err := a.AddPause(t.Context(), repairer.Pause{Scope: "fleet"}); !errors.Is(err, glia.ErrStaleEpoch) {
		t.Errorf("the one that was cut off writes: %v", err)
	}
	if b.Epoch() <= a.Epoch() {
		t.Errorf("epoch %d after %d", b.Epoch(), a.Epoch())
	}
}

// A commit whose answer never came may have been done: whoever waits for something new has to look.
func TestPostgres_CommitWithoutAnAnswerWakesThoseWhoWait(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	proxy := testbed.NewProxy(t, filepath.Join(srv.Dir(), ".s.PGSQL.5432"))
	s := openPostgres(t, "postgres://glia@"+proxy.Addr+"/"+name+"?sslmode=disable", store.Options{TTL: time.Minute})
	changed := s.Changed()
	proxy.HangAfter("commit")
	ctx, cancel := context.WithCancel(t.Context())
	under := make(chan error, 1)
	go func() {
		_, err := s.AddPause(ctx, repairer.Pause{Scope: "fleet"})
		under <- err
	}()
	for deadline := time.Now().Add(patience); srv.Exec(t.Context(), name, `DO 'BEGIN ASSERT (SELECT count(*) FROM pauses) = 1; END'`) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the pause does not get into the database")
		}
	}
	cancel()
	if err := <-under; !errors.Is(err, context.Canceled) {
		t.Errorf("the pause without an answer: %v", err)
	}
	select {
	case <-changed:
	default:
		t.Error("those who wait were not told")
	}
	proxy.Heal()
}
