package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"glia"
	"glia/repairer"
	"glia/repairer/store"
	"glia/repairer/store/storetest"
	"glia/repairer/ticket"
)

// server is one PostgreSQL for all tests; each has a database of its own.
var server = struct {
	sync.Mutex
	*storetest.Server
	err error
}{}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.Server != nil {
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "end the server:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// database makes an empty database, or skips the test where PostgreSQL is not installed.
func database(t testing.TB, options string) (srv *storetest.Server, name string) {
	t.Helper()
	server.Lock()
	defer server.Unlock()
	if server.Server == nil && server.err == nil {
		server.Server, server.err = storetest.StartPostgres(context.Background(), "fsync=off", "max_connections=300")
	}
	if errors.Is(server.err, storetest.ErrNoServer) {
		t.Skip(server.err)
	}
	if server.err != nil {
		t.Fatal(server.err)
	}
	name, err := server.NewDatabase(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return server.Server, name
}

func openPostgres(t testing.TB, url string, o store.Options) *store.Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := store.OpenPostgres(ctx, url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// patience is how long a test waits for what must happen.
const patience = 90 * time.Second

// short is a lease for tests that wait for its end. It is long enough for a busy machine.
const short = 5 * time.Second

func TestPostgres_Contract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		srv, name := database(t, "")
		return storetest.Backend{
			Open: func() (storetest.Store, error) {
				return store.OpenPostgres(t.Context(), srv.URL(name), store.Options{TTL: time.Minute})
			},
			Exec:     func(query string) error { return srv.Exec(t.Context(), name, query) },
			Unlock:   []string{`DROP TRIGGER events_stay ON events`},
			Deposing: `UPDATE lease SET epoch = epoch + 1`,
			Ending:   `UPDATE lease SET expires = '-infinity'`,
		}
	})
}

func TestPostgres_PausedLeaderIsDeposed(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	var pause atomic.Bool // once it leads and has worked
	stalled, goOn := make(chan struct{}), make(chan struct{})
	resume := sync.OnceFunc(func() { close(goOn) })
	a := openPostgres(t, srv.URL(name), store.Options{TTL: short, Holder: "a"}.StallRenewals(func() {
		if pause.CompareAndSwap(true, false) {
			close(stalled)
			<-goOn
		}
	}))
	t.Cleanup(resume) // before a is closed, which waits for its renewals
	c, err := a.Open(t.Context(), storetest.Opened("S1"))
	if err != nil {
		t.Fatal(err)
	}
	tickets := ticket.New(a.DB(), time.Now)
	if _, err := tickets.File(t.Context(), "k1", repairer.Ticket{Case: c.ID}); err != nil {
		t.Fatal(err)
	}
	pause.Store(true)
	await(t, stalled, "it is paused at a renewal")
	paused := time.Now()
	b := openPostgres(t, srv.URL(name), store.Options{TTL: short, Holder: "b"})
	if waited := time.Since(paused); waited > patience/2 { // to connect takes a busy machine seconds
		t.Errorf("took over after %s with a lease of %s", waited, short)
	}
	if b.Epoch() <= a.Epoch() {
		t.Errorf("epoch %d after %d", b.Epoch(), a.Epoch())
	}
	// The old leader does not know yet, as if it had just been woken.
	if _, err := a.Append(t.Context(), storetest.Ended(c.ID)); !errors.Is(err, glia.ErrStaleEpoch) {
		t.Errorf("the deposed repairer writes: %v", err)
	}
	if _, err := tickets.File(t.Context(), "k2", repairer.Ticket{Case: c.ID}); err == nil || !strings.Contains(err.Error(), glia.ErrStaleEpoch.Error()) {
		t.Errorf("the deposed repairer files a ticket: %v", err)
	}
	resume()
	await(t, a.Lost(), "the deposed repairer learns that it lost")
	if _, err := b.Append(t.Context(), storetest.Ended(c.ID)); err != nil {
		t.Errorf("the new leader: %v", err)
	}
	if err := a.Close(); err != nil { // must not let go of the lease of b
		t.Error(err)
	}
	select {
	case <-b.Lost():
		t.Error("the new leader lost its lease as the old one ended")
	default:
	}
	if _, err := b.AddPause(t.Context(), repairer.Pause{Scope: "fleet"}); err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, what <-chan struct{}, words string) {
	t.Helper()
	select {
	case <-what:
	case <-time.After(patience):
		t.Fatal("not within", patience, ":", words)
	}
}

func TestPostgres_PausedInTheMiddleOfAWrite(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	var pause atomic.Bool // once it is in the middle of its write
	goOn := make(chan struct{})
	a := openPostgres(t, srv.URL(name), store.Options{TTL: short, Holder: "a"}.StallRenewals(func() {
		if pause.Load() {
			<-goOn
		}
	}))
	defer close(goOn)
	tx, err := a.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `SELECT epoch FROM lease FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	pause.Store(true)
	b := openPostgres(t, srv.URL(name), store.Options{TTL: short, Holder: "b"}) // is not held up by the lock of a
	if err := tx.Commit(); err == nil {
		t.Error("the transaction of the paused leader could still be committed")
	}
	if b.Epoch() <= a.Epoch() {
		t.Errorf("epoch %d after %d", b.Epoch(), a.Epoch())
	}
}

// Many repairers come and go at once. Each writes down that it leads and that it ends; the log of the
// database must show that no two did at one time.
func TestPostgres_NeverTwoLeaders(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	const repairers, terms = 4, 5 // none loses its lease, which is long: each ends its term by itself
	var mu sync.Mutex
	var epochs []uint64
	leader := ""
	var wg sync.WaitGroup
	for i := range repairers {
		wg.Go(func() {
			who := fmt.Sprint("r", i)
			for range terms {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				s, err := store.OpenPostgres(ctx, srv.URL(name), store.Options{TTL: time.Minute, Holder: who})
				cancel()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if leader != "" {
					t.Errorf("%s leads while %s does", who, leader)
				}
				leader = who
				epochs = append(epochs, s.Epoch())
				mu.Unlock()
				if _, err := s.AddPause(t.Context(), repairer.Pause{Scope: "fleet", Owner: who}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				leader = ""
				mu.Unlock()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := 1; i < len(epochs); i++ {
		if epochs[i] <= epochs[i-1] {
			t.Errorf("epoch %d came after %d", epochs[i], epochs[i-1])
		}
	}
	s := openPostgres(t, srv.URL(name), store.Options{TTL: short})
	var rows, distinct, newest uint64
	if err := s.DB().QueryRowContext(t.Context(), `SELECT count(*), count(DISTINCT epoch), max(epoch) FROM leaders`).Scan(&rows, &distinct, &newest); err != nil {
		t.Fatal(err)
	}
	if want := uint64(repairers*terms + 1); rows != want || distinct != want || newest != s.Epoch() {
		t.Errorf("%d leaders, %d epochs, the newest is %d; want %d", rows, distinct, newest, want)
	}
}

func TestPostgres_RefusesANewerVersion(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	s := openPostgres(t, srv.URL(name), store.Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Exec(t.Context(), name, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)`); err != nil {
		t.Fatal(err)
	}
	_, err := store.OpenPostgres(t.Context(), srv.URL(name), store.Options{})
	if err == nil || !strings.Contains(err.Error(), "it is of version 999 and this repairer knows versions up to") || !strings.Contains(err.Error(), "open database "+name) {
		t.Fatal(err)
	}
	if err := srv.Exec(t.Context(), name, fmt.Sprintf(`DO $$ BEGIN IF (SELECT epoch FROM lease) <> %d THEN RAISE 'the refused opening took an epoch'; END IF; END $$`, s.Epoch())); err != nil {
		t.Error(err)
	}
}

func TestPostgres_SaysWhyItCanNotOpen(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	for url, want := range map[string]string{
		srv.URL("nowhere"):        `database "nowhere" does not exist`,
		srv.URL(name) + "&port=x": "invalid port",
		strings.Replace(srv.URL(name), "user=glia", "user=nobody", 1): `role "nobody" does not exist`,
	} {
		if _, err := store.OpenPostgres(t.Context(), url, store.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	openPostgres(t, srv.URL(name), store.Options{Holder: "the other one"})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	waits := func(reason string) {
		if strings.Contains(reason, "leads") { // a busy machine may not have answered before
			cancel()
		}
	}
	_, err := store.OpenPostgres(ctx, srv.URL(name), store.Options{TTL: short, Waiting: waits})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "wait for the lease (the other one leads under epoch ") {
		t.Errorf("while another one leads: %v", err)
	}
}

func TestPostgres_BuiltinTracker(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	b, ctx := ticket.New(openPostgres(t, srv.URL(name), store.Options{}).DB(), time.Now), t.Context()
	id, err := b.File(ctx, "k", repairer.Ticket{Case: "c1", Title: "Replace disk S1", Body: "text"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if again, err := b.File(ctx, "k", repairer.Ticket{Case: "c1", Title: "other"}); err != nil || again != id {
			t.Fatalf("filed again as %s, %v", again, err)
		}
		if err := b.Comment(ctx, "k1", id, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Resolve(ctx, id, "done", "ann", "swapped"); err != nil {
			t.Fatal(err)
		}
		if err := b.Reopen(ctx, "k2", id, "slot 2 is empty"); err != nil {
			t.Fatal(err)
		}
	}
	tk, err := b.Ticket(ctx, id)
	if err != nil || tk.Title != "Replace disk S1" || tk.Status != repairer.TicketResolved || len(tk.Comments) != 4 {
		t.Errorf("ticket %+v, %v", tk, err)
	}
	if err := b.Close(ctx, "k3", id, "thank you"); err != nil {
		t.Fatal(err)
	}
	if open, err := b.Tickets(ctx, false); err != nil || len(open) != 0 {
		t.Errorf("open tickets %+v, %v", open, err)
	}
	if all, err := b.Tickets(ctx, true); err != nil || len(all) != 1 {
		t.Errorf("all tickets %+v, %v", all, err)
	}
}
