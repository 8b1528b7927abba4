package kill_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/internal/testbed"
	"glia/repairer/store"
	"glia/repairer/store/storetest"
)

// takeOver is how long nobody may act after the leader is gone, with the default lease: 11 s, and as much again twice where many share a
// processor, each step of the one who takes over with them.
const takeOver = 45 * time.Second

// heard bounds one question to a repairer, which may be stopped.
const heard = 3 * time.Second

// crew are several repairers on one PostgreSQL, each a process with a network of its own to it, and one host
// with a failed disk.
type crew struct {
	t     *testing.T
	srv   *storetest.Server
	name  string
	host  *host
	ones  []*world
	ways  []*testbed.Proxy
	moves int // how far the technician may go
}

func newCrew(t *testing.T, n int, more string) *crew {
	t.Helper()
	srv, err := storetest.StartPostgres(t.Context(), "fsync=off")
	if errors.Is(err, storetest.ErrNoServer) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	c := &crew{t: t, srv: srv}
	if c.name, err = srv.NewDatabase(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if c.host, err = serveHost(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	tech := &technician{h: c.host}
	for i := range n {
		way := testbed.NewProxy(t, filepath.Join(srv.Dir(), ".s.PGSQL.5432"))
		database := (&url.URL{Scheme: "postgres", User: url.User("glia"), Host: way.Addr, Path: c.name, RawQuery: "sslmode=disable"}).String()
		w, err := c.host.repairedBy(filepath.Join(dir, fmt.Sprint(i)), database, more)
		if err != nil {
			t.Fatal(err)
		}
		w.tech = tech
		if err := w.start(life{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			w.stop()
			if t.Failed() {
				t.Logf("log of repairer %d:\n%s", i, w.log())
			}
		})
		c.ones, c.ways = append(c.ones, w), append(c.ways, way)
	}
	// A disk that is not taken is looked at again and again: there are always orders under way.
	c.moves = 4
	c.until(3*takeOver, "orders are given all the time", func() bool { return tech.moves == c.moves && len(c.host.accepted(0)) > 10 })
	return c
}

// until lets the technician work until it is so.
func (c *crew) until(limit time.Duration, words string, so func() bool) {
	c.t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	deadline, last := time.Now().Add(limit), "nobody leads"
	for !so() {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within %s: %s; %s", limit, words, last)
		}
		for _, w := range c.ones {
			select {
			case err := <-w.exited:
				w.exited <- err
				if !killed(err) {
					c.t.Fatalf("a repairer has ended by itself: %v", err)
				}
				continue
			default:
			}
			ctx, cancel := context.WithTimeout(c.t.Context(), heard)
			if s, err := see(ctx, w.client); err == nil {
				last = fmt.Sprintf("the case is %s, waiting for %q", s.c.GetPhase(), s.c.GetWaitingFor())
				if w.tech.moves < c.moves {
					if err := w.tech.work(ctx, s, w.client); err != nil {
						c.t.Fatal(err)
					}
				}
			}
			cancel()
		}
		<-poll.C
	}
}

// leader finds the repairer that leads, and its epoch.
func (c *crew) leader() (at int, epoch uint64) {
	c.t.Helper()
	at = -1
	c.until(2*takeOver, "somebody leads", func() bool {
		for i, w := range c.ones {
			if e, ok := c.leads(w); ok && e > epoch {
				at, epoch = i, e
			}
		}
		return at >= 0
	})
	return at, epoch
}

func (c *crew) leads(w *world) (epoch uint64, ok bool) {
	ctx, cancel := context.WithTimeout(c.t.Context(), heard)
	defer cancel()
	r, err := w.client.GetStatus(ctx, connect.NewRequest(&gliav1.GetStatusRequest{}))
	if err != nil {
		return 0, false
	}
	return r.Msg.GetEpoch(), true
}

// takenOver waits until a repairer with a newer epoch gives orders.
func (c *crew) takenOver(epoch uint64) {
	c.t.Helper()
	began := time.Now()
	newest := func() uint64 { o := c.host.accepted(0); return o[len(o)-1].epoch }
	c.until(takeOver, fmt.Sprintf("orders of a newer epoch than %d", epoch), func() bool { return newest() > epoch })
	c.t.Logf("taken over after %s", time.Since(began).Round(time.Millisecond))
}

// ready is what /readyz says.
func (w *world) ready(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, heard)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.api+"/readyz", nil)
	if err != nil {
		return err.Error()
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	b := make([]byte, 4096)
	n, _ := answer.Body.Read(b)
	return string(b[:n])
}

func (c *crew) standsBy(i int) {
	c.t.Helper()
	c.until(takeOver, fmt.Sprintf("repairer %d stands by", i), func() bool { return strings.Contains(c.ones[i].ready(c.t.Context()), "leads under epoch") })
}

// finish lets the repair come to its end and checks what it has led to: that of one repairer whom nobody disturbed.
func (c *crew) finish(want result) {
	c.t.Helper()
	c.moves = 6
	c.until(2*takeOver, "the case is closed", func() bool {
		for _, w := range c.ones {
			if s, err := see(c.t.Context(), w.client); err == nil && s.c.GetPhase() == "closed" {
				return true
			}
		}
		return false
	})
	for _, w := range c.ones {
		w.stop()
	}
	st, err := store.OpenPostgres(c.t.Context(), c.srv.URL(c.name), store.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	got, err := c.host.result(c.t.Context(), st)
	if err != nil || got != want {
		c.t.Errorf("the end differs: %v\ngot\n%s\nwant\n%s", err, got, want)
	}
	c.neverTwo(st)
}

// neverTwo compares the orders that were carried out with the times since which each epoch leads, on the one clock of
// this machine: none may come from an epoch that has a successor.
func (c *crew) neverTwo(st *store.Postgres) {
	c.t.Helper()
	rows, err := st.DB().QueryContext(c.t.Context(), `SELECT epoch, since FROM leaders ORDER BY epoch`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	terms := map[uint64]time.Time{} // begin of the next one
	var last uint64
	for rows.Next() {
		var epoch uint64
		var since time.Time
		if err := rows.Scan(&epoch, &since); err != nil {
			c.t.Fatal(err)
		}
		terms[last], last = since, epoch
	}
	if err := rows.Err(); err != nil || len(terms) < 2 {
		c.t.Fatalf("terms %v, %v", terms, err)
	}
	for _, o := range c.host.accepted(0) {
		if next, over := terms[o.epoch]; over && o.at.After(next) {
			c.t.Errorf("an order of epoch %d was carried out %s after its successor began to lead", o.epoch, o.at.Sub(next))
		}
	}
}

func TestRepairers_TakeTurns(t *testing.T) {
	t.Parallel()
	want, _ := undisturbed(t, swapped)
	var all sync.WaitGroup // at once, however few processors there are: they wait for leases to end
	defer all.Wait()
	for name, disturb := range map[string]func(t *testing.T){
		"stopped and continued": func(t *testing.T) {
			c := newCrew(t, 2, "")
			old, epoch := c.leader()
			signal(t, c.ones[old], syscall.SIGSTOP)
			c.takenOver(epoch)
			signal(t, c.ones[old], syscall.SIGCONT)
			c.standsBy(old)
			// It can take over again.
			newer, epoch := c.leader()
			signal(t, c.ones[newer], syscall.SIGKILL)
			c.takenOver(epoch)
			c.finish(want)
		},
		"killed": func(t *testing.T) {
			c := newCrew(t, 3, "")
			for range 2 {
				at, epoch := c.leader()
				signal(t, c.ones[at], syscall.SIGKILL)
				c.takenOver(epoch)
			}
			c.finish(want)
		},
		"cut off without a word": func(t *testing.T) {
			c := newCrew(t, 3, "")
			old, epoch := c.leader()
			c.ways[old].Hang()
			c.takenOver(epoch)
			newer, epoch := c.leader()
			c.ways[newer].Cut()
			c.ways[old].Heal()
			c.takenOver(epoch)
			c.ways[newer].Heal()
			c.standsBy(newer)
			c.finish(want)
		},
		"without a database": func(t *testing.T) {
			const ttl = 3 * time.Second
			c := newCrew(t, 2, "[lease]\nttl = \"3s\"\nrenew = \"500ms\"\n")
			_, epoch := c.leader()
			restart := func() {
				if err := c.srv.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.srv.Stop(); err != nil {
				t.Fatal(err)
			}
			restart()
			n := len(c.host.accepted(0))
			c.until(takeOver, "orders go on after a restart", func() bool { return len(c.host.accepted(n)) > 5 })

			if err := c.srv.Stop(); err != nil {
				t.Fatal(err)
			}
			c.until(takeOver, "everybody says that the database is away", func() bool {
				for _, w := range c.ones {
					if !strings.Contains(w.ready(t.Context()), "the database does not answer") {
						return false
					}
				}
				return true
			})
			n = len(c.host.accepted(0))
			away := time.Now()
			c.until(takeOver, "many leases pass", func() bool { return time.Since(away) > 4*ttl })
			if late := c.host.accepted(n); len(late) > 0 {
				t.Errorf("%d orders were given without a database", len(late))
			}
			restart()
			c.takenOver(epoch)
			for i, w := range c.ones {
				b, _ := os.ReadFile(filepath.Join(w.dir, "log"))
				if told := strings.Count(string(b), "database is not available, waiting"); told > 2 {
					t.Errorf("repairer %d has told %d times that there is no database", i, told)
				}
			}
			c.finish(want)
		},
	} {
		all.Go(func() { t.Run(name, disturb) })
	}
}

func signal(t *testing.T, w *world, s os.Signal) {
	t.Helper()
	if err := w.process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
