package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	"glia/repairer"
	"glia/repairer/store"
	"glia/repairer/store/storetest"
)

// small mounts a filesystem that is soon full.
func small(t *testing.T, dir, options string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small filesystem")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill takes all the space there is, as a log that nobody rotates would.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// fullDisk writes until the disk is full, makes room and goes on.
func fullDisk(t *testing.T, s storetest.Store, ballast string) {
	t.Helper()
	c, err := s.Open(t.Context(), storetest.Opened("S1"))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, ballast)
	text := strings.Repeat("0123456789", 10_000)
	for n := 1; err == nil; n++ {
		if n > 1000 {
			t.Fatal("the disk does not fill up")
		}
		var next repairer.Case
		if next, err = s.Append(t.Context(), storetest.Waits(c.ID, fmt.Sprint(n, text))); err == nil {
			c = next
		}
	}
	t.Log(err)
	if got, err := s.Case(t.Context(), c.ID); err != nil || got.Seq != c.Seq {
		t.Errorf("with a full disk the case is at %d, %v; want %d", got.Seq, err, c.Seq)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), storetest.Ended(c.ID)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if r, err := s.Verify(t.Context()); err != nil || r.Problem != "" || r.Events != c.Seq+1 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

func TestSQLite_DiskFull(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "small")
	small(t, dir, "size=4m")
	fullDisk(t, open(t, filepath.Join(dir, "db")), filepath.Join(dir, "ballast"))
}

func TestPostgres_DiskFull(t *testing.T) {
	t.Parallel()
	srv, _ := database(t, "") // skips where there is no server
	dir := filepath.Join(srv.Dir(), "small")
	info, err := os.Stat(srv.Dir())
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	small(t, dir, fmt.Sprintf("size=64m,uid=%d,gid=%d,mode=0700", owner.Uid, owner.Gid))
	if err := os.Mkdir(dir+"/data", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir+"/data", int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	if err := srv.Exec(t.Context(), "postgres", `CREATE TABLESPACE small LOCATION '`+dir+`/data'`); err != nil {
		t.Fatal(err)
	}
	_, name := database(t, "TABLESPACE small")
	s := openPostgres(t, srv.URL(name), store.Options{TTL: time.Minute})
	fullDisk(t, s, filepath.Join(dir, "ballast"))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	// Before the disk is gone, or the server that the other tests use can not write its checkpoints.
	for _, q := range []string{`DROP DATABASE ` + name + ` WITH (FORCE)`, `DROP TABLESPACE small`} {
		if err := srv.Exec(t.Context(), "postgres", q); err != nil {
			t.Error(err)
		}
	}
}

func TestPostgres_GoneForAWhile(t *testing.T) {
	t.Parallel()
	database(t, "") // skips where there is no server
	srv, err := storetest.StartPostgres(t.Context(), "fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	name, err := srv.NewDatabase(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	s := openPostgres(t, srv.URL(name), store.Options{TTL: time.Minute})
	c, err := s.Open(t.Context(), storetest.Opened("S1"))
	if err != nil {
		t.Fatal(err)
	}
	// For a shorter time than the lease: the same opening goes on.
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	_, read := s.Cases(t.Context(), true)
	_, write := s.Append(t.Context(), storetest.Waits(c.ID, "x"))
	for want, err := range map[string]error{"read the cases: ": read, "write to the database: ": write} {
		if err == nil || !strings.HasPrefix(err.Error(), want) || errors.Is(err, glia.ErrStaleEpoch) {
			t.Errorf("without a server: %v, want %q", err, want)
		}
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Append(t.Context(), storetest.Waits(c.ID, "x")); err != nil {
		t.Errorf("with the server back: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// For longer than the lease: it is lost before it expires, and the next opening waits for the server.
	s = openPostgres(t, srv.URL(name), store.Options{TTL: short})
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	await(t, s.Lost(), "a lease that can not be renewed is lost")
	if _, err := s.Append(t.Context(), storetest.Waits(c.ID, "y")); !errors.Is(err, glia.ErrStaleEpoch) {
		t.Errorf("after the loss: %v", err)
	}
	_ = s.Close() // says that the lease could not be let go of
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := make(chan *store.Postgres, 1)
	go func() {
		n, err := store.OpenPostgres(ctx, srv.URL(name), store.Options{TTL: short})
		if err != nil {
			t.Error(err)
		}
		again <- n
	}()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := <-again
	if n == nil {
		t.FailNow()
	}
	if r, err := n.Verify(t.Context()); err != nil || r != (repairer.AuditReport{Events: 2}) || n.Epoch() <= s.Epoch() {
		t.Errorf("after all: %+v, %v, epoch %d", r, err, n.Epoch())
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
