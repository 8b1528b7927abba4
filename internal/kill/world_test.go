package kill_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"glia/api/glia/v1/gliav1connect"
	"glia/internal/daemon"
	"glia/repairer"
	"glia/repairer/store"
	"glia/repairer/ticket"
)

// patience is how long one repair may take, its restarts included.
const patience = 4 * time.Minute

// world is a repairer in a process of its own and all that is around it.
type world struct {
	dir      string
	host     *host
	database string
	api      string // host:port of the repairer
	tech     *technician
	client   gliav1connect.RepairServiceClient
	config   string

	process *os.Process
	stdin   *os.File   // the process ends when this is closed, so that none outlives the test
	exited  chan error // of the present process
	starts  int
}

// life is one process: where it ends itself, and when it is ended from outside. The zero life is not
// ended.
type life struct {
	at    point
	after time.Duration
}

func (l life) String() string { return l.after.String() }

// result is what a repair has led to, one fact a line. Any two repairs lead to the same.
type result string

var worlds atomic.Int32

// newWorld makes a world with one failed disk. Every world has a loopback address of its own, because
// the port has to be free again at each restart.
func newWorld(ctx context.Context, dir string) (*world, error) {
	h, err := serveHost(ctx, dir)
	if err != nil {
		return nil, err
	}
	return h.repairedBy(dir, filepath.Join(dir, "glia.db"), "")
}

// serveHost serves a host with one failed disk, until the context ends.
func serveHost(ctx context.Context, dir string) (*host, error) {
	h, err := newHost(filepath.Join(dir, "host"))
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h.api = ln.Addr().String()
	mux := http.NewServeMux()
	mux.Handle(gliav1connect.NewHostServiceHandler(h))
	mux.Handle(gliav1connect.NewFleetServiceHandler(h))
	go func() {
		// Streams of a repairer that is no more are cut; nobody waits for their end.
		_ = daemon.Server{Handler: mux, Log: slog.New(slog.DiscardHandler), Grace: 100 * time.Millisecond}.Serve(ctx, ln)
	}()
	return h, nil
}

// repairedBy makes a repairer of the host, which is started later.
func (h *host) repairedBy(dir, database, more string) (*world, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	n, pid := worlds.Add(1), os.Getpid()
	address := fmt.Sprintf("127.%d.%d.%d:7413", 64+pid>>8&63, pid&255, n%250+1)
	w := &world{
		dir: dir, host: h, database: database, api: address, tech: &technician{h: h}, config: filepath.Join(dir, "repairer.toml"),
		client: gliav1connect.NewRepairServiceClient(daemon.HTTPClient(nil), "http://"+address),
	}
	text := fmt.Sprintf("database = %q\nsynapse = \"http://%s\"\nmode = \"auto\"\n[api]\nlisten = %q\n[access]\nloopback = \"destroy\"\n[repair]\ntick = \"20ms\"\nsettle = \"1ms\"\nretry_min = \"20ms\"\nretry_max = \"200ms\"\n%s",
		database, h.api, address, more)
	return w, os.WriteFile(w.config, []byte(text), 0o600)
}

// start starts the repairer.
func (w *world) start(l life) error {
	log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	w.starts++
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envConfig+"="+w.config, envJournal+"="+w.journal(w.starts))
	if l.at != (point{}) {
		cmd.Env = append(cmd.Env, envPoint+"="+l.at.String())
	}
	cmd.Stdin, cmd.Stderr = in, log
	if err := cmd.Start(); err != nil {
		_ = out.Close()
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	w.process, w.stdin, w.exited = cmd.Process, out, exited
	return nil
}

// stop ends the present process and waits for it.
func (w *world) stop() {
	if w.process == nil {
		return
	}
	_ = w.process.Kill() // it may be gone already
	<-w.exited
	_ = w.stdin.Close()
	w.process = nil
}

// journal is where the process of that start notes the calls that change something.
func (w *world) journal(start int) string {
	return filepath.Join(w.dir, fmt.Sprintf("calls.%d", start))
}

// calls are the names of the calls of one start, in order.
func (w *world) calls(start int) []string {
	b, _ := os.ReadFile(w.journal(start)) // a process that was killed early has none
	var out []string
	for line := range strings.Lines(string(b)) {
		if _, what, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			out = append(out, what)
		}
	}
	return out
}

// carry brings the repair to its end through the given lives and a last one that is not ended, and
// says what it has led to.
func (w *world) carry(ctx context.Context, lives ...life) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer w.stop()
	poll := time.NewTicker(15 * time.Millisecond)
	defer poll.Stop()
	for {
		now := life{}
		if len(lives) > 0 {
			now, lives = lives[0], lives[1:]
		}
		if err := w.start(now); err != nil {
			return "", err
		}
		closed, err := w.live(ctx, now, poll.C)
		if err != nil {
			return "", err
		}
		w.stop()
		if closed {
			return w.result(ctx)
		}
	}
}

// live follows one process until it is killed or the case is closed.
func (w *world) live(ctx context.Context, l life, poll <-chan time.Time) (closed bool, err error) {
	var kill <-chan time.Time
	if l.after > 0 {
		kill = time.After(l.after)
	}
	last := "no case"
	for {
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("it did not come to its end: %s, after %d moves of the technician", last, w.tech.moves)
		case err := <-w.exited:
			w.exited <- err // for stop
			if !killed(err) || l == (life{}) {
				return false, fmt.Errorf("the repairer has ended by itself: %w", err)
			}
			return false, nil
		case <-kill:
			return false, nil
		case <-poll:
		}
		asked, cancel := context.WithTimeout(ctx, 5*time.Second)
		s, err := see(asked, w.client)
		if err == nil {
			last = fmt.Sprintf("it is %s, waiting for %q", s.c.GetPhase(), s.c.GetWaitingFor())
			err = w.tech.work(asked, s, w.client)
			closed = s.c.GetPhase() == "closed" || s.c.GetPhase() == "cancelled"
		} else {
			err = nil // it is starting, or was just killed
		}
		cancel()
		switch {
		case err != nil:
			return false, err
		case s.c.GetPhase() == "parked":
			return false, fmt.Errorf("the case was parked: %s", s.c.GetWaitingFor())
		case closed && l.at == (point{}):
			return true, nil
		case closed && w.outlived(l.at):
			return true, nil
		}
	}
}

// outlived says whether the process has closed the case without having come to the point. When the
// last call is the point, it is about to be killed.
func (w *world) outlived(p point) bool { return len(w.calls(w.starts)) < p.call }

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// result reads what is left of the repair, without any word of the repairer but its log.
func (w *world) result(ctx context.Context) (r result, err error) {
	st, err := store.OpenSQLite(ctx, w.database)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return w.host.result(ctx, st)
}

// ledger is what is left in the database of a repairer.
type ledger interface {
	repairer.Store
	repairer.Auditor
	DB() *sql.DB
}

func (h *host) result(ctx context.Context, st ledger) (r result, err error) {
	if report, err := st.Verify(ctx); err != nil || report.Problem != "" || report.Events == 0 {
		return r, errors.Join(fmt.Errorf("the log does not prove itself: %+v", report), err)
	}
	cases, err := st.Cases(ctx, true)
	if err != nil || len(cases) == 0 {
		return r, errors.Join(errors.New("no case"), err)
	}
	tracker := ticket.New(st.DB(), time.Now)
	tickets, err := tracker.Tickets(ctx, true)
	if err != nil {
		return r, err
	}
	c := cases[0]
	t, err := tracker.Ticket(ctx, c.Ticket)
	if err != nil {
		return r, err
	}
	events, err := st.Events(ctx, c.ID, 0)
	if err != nil {
		return r, err
	}
	steps, err := doneSteps(events)
	var b strings.Builder
	there := badDisk
	if c.Replacement != nil {
		there = c.Replacement.Serial()
	}
	fmt.Fprintf(&b, "cases %d, the first one %s\n", len(cases), c.Phase)
	fmt.Fprintf(&b, "steps done %s\n", strings.Join(steps, " "))
	fmt.Fprintf(&b, "tickets %d, the first one %s\n", len(tickets), t.Status)
	for _, comment := range t.Comments {
		fmt.Fprintf(&b, "comment %s: %s\n", comment.Author, comment.Text)
	}
	fmt.Fprintf(&b, "the host did %s\nin the place %s, mounted on %s\n", strings.Join(strings.Split(strings.TrimSpace(h.acts()), "\n"), ", "), there, h.get(badSlot, there, "mounted"))
	return result(b.String()), err
}

// doneSteps are the steps that were done, in order. Each must have been begun in the log before it.
func doneSteps(events []repairer.Event) (done []string, err error) {
	var begun []string
	for _, e := range events {
		switch e.Kind {
		case repairer.KindBegun:
			begun = append(begun, e.Step)
		case repairer.KindDone:
			if !slices.Contains(begun, e.Step) && e.Step != repairer.StepSettle {
				err = errors.Join(err, fmt.Errorf("%s is done and was never begun", e.Step))
			}
			done = append(done, e.Step)
		}
	}
	return done, err
}

// log is what the processes have said, cut to its end.
func (w *world) log() string {
	b, _ := os.ReadFile(filepath.Join(w.dir, "log")) // none: nothing was said
	const enough = 6000
	if len(b) > enough {
		b = append([]byte("…"), b[len(b)-enough:]...)
	}
	return string(b)
}
