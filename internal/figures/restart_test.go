package figures_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/figures"
	"glia/internal/program/repairerd"
	"glia/internal/testbed"
	"glia/repairer"
	"glia/repairer/store"
)

// What the repairer that is measured is told by its environment.
const (
	envDatabase = "GLIA_FIGURES_DATABASE"
	envSynapse  = "GLIA_FIGURES_SYNAPSE"
	envListen   = "GLIA_FIGURES_LISTEN"
	envKeys     = "GLIA_FIGURES_KEYS" // directory with its certificate; empty: without TLS
)

// TestMain is also the main of the repairer that is measured.
func TestMain(m *testing.M) {
	if os.Getenv(envDatabase) == "" {
		os.Exit(m.Run())
	}
	c := config.DefaultRepairer()
	c.Database, c.Synapse, c.API.Listen = os.Getenv(envDatabase), os.Getenv(envSynapse), os.Getenv(envListen)
	c.Gates.StopFile = ""
	if dir := os.Getenv(envKeys); dir != "" {
		c.TLS = keysIn(dir)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := repairerd.Run(ctx, c, nil, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fleet is 2,800 hosts of 36 disks, so many of which are bad, as many as each of the hosts has from the first
// host on. A host with a bad disk tells the detail of all its disks.
func fleet(bad, each int, now time.Time) glia.FleetView {
	const hosts, disks = 2800, 36
	view := glia.FleetView{At: now}
	since := now.Add(-72 * time.Hour)
	for h := range hosts {
		name := fmt.Sprintf("node-%d", h)
		hv := glia.HostView{Member: glia.Member{Announcement: glia.Announcement{Host: name, DiskCount: disks}, Status: glia.MemberAlive}, FetchedAt: now}
		mine := min(each, bad)
		bad -= mine
		for d := 0; d < disks && mine > 0; d++ {
			s := glia.DiskStatus{
				Disk: glia.Disk{
					Identity: glia.Identity{Serial: fmt.Sprintf("N%dS%d", h, d), WWN: fmt.Sprintf("0x5000c500%04x%04x", h, d), Model: "ST16000NM001G", Firmware: fmt.Sprint("SN0", h%5), Size: 16e12, Class: glia.ClassHDD},
					Location: glia.Location{Host: name, Slot: fmt.Sprint(d), Device: "sda"},
					Mounts:   []glia.Mount{{Source: "sda", Target: fmt.Sprint("/data/", d), FSType: "xfs", UUID: "u"}},
				},
				Verdict: glia.Verdict{State: glia.StateHealthy, ObservedAt: now, ExpiresAt: now.Add(time.Hour), Prober: "1", RuleSet: "r"},
			}
			if d < mine {
				s.Verdict.State = glia.StateFailed
				s.Verdict.Reasons = []glia.Reason{
					{Rule: "media", Words: "the disk reports errors that it can not correct", Class: glia.Media, State: glia.StateFailed, Since: since},
					{Rule: "filesystem", Words: "the filesystem can not be written", Class: glia.Filesystem, State: glia.StateFailed, Since: since}}
			}
			hv.Disks = append(hv.Disks, s)
		}
		view.Hosts = append(view.Hosts, hv)
	}
	return view
}

// synapse serves one view, again and again.
type synapse struct {
	gliav1connect.UnimplementedFleetServiceHandler
	view *gliav1.FleetView
	sent chan struct{} // holds one value for each view that was sent, up to its capacity
}

func (s synapse) WatchFleet(ctx context.Context, _ *connect.Request[gliav1.WatchFleetRequest], stream *connect.ServerStream[gliav1.WatchFleetResponse]) error {
	for {
		s.view.At = api.TimeToProto(time.Now())
		if err := stream.Send(&gliav1.WatchFleetResponse{View: s.view}); err != nil {
			return err
		}
		select {
		case s.sent <- struct{}{}:
		default:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// views is how many views arrive before the memory is measured: each is there twice for a moment.
const views = 8

// BenchmarkRepairer_RestartWith10000Cases starts the repairer as a process on a SQLite file with 10,000 open
// cases that wait, in a fleet of 100,800 disks, until it is ready and has looked at all of them. Then it
// tells the memory that the process has after some more views, and had at most. The bad disks are on few hosts,
// or on all: then the view has the detail of all disks.
func BenchmarkRepairer_RestartWith10000Cases(b *testing.B) {
	b.Run("few hosts", func(b *testing.B) {
		restart(b, 36)
		b.ReportMetric(2000, "ms-to-ready"+figures.AtMost)
		b.ReportMetric(150, "MB-resident"+figures.AtMost)
	})
	b.Run("all hosts", func(b *testing.B) { restart(b, 4) })
}

func restart(b *testing.B, each int) {
	const cases = 10000
	dir, err := os.MkdirTemp("/dev/shm", "glia") // filling the database is not what is measured
	if err != nil {
		dir = b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	now := time.Now()
	view := fleet(cases, each, now)
	database := filepath.Join(dir, "glia.db")
	if err := fill(b.Context(), database, view); err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	fleet := synapse{view: api.FleetViewToProto(view), sent: make(chan struct{}, views)}
	mux.Handle(gliav1connect.NewFleetServiceHandler(fleet))
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	b.Cleanup(srv.Close)
	p := start(b, database, srv.URL) // in its first life it plans, and writes down what holds the cases back
	p.until(b, 5*time.Minute, cases, true)
	p.stop(b)
	fastest, used, rss, peak := time.Hour, time.Duration(0), 0.0, 0.0
	for b.Loop() {
		began := time.Now()
		p := start(b, database, srv.URL)
		p.until(b, time.Minute, cases, false)
		fastest = min(fastest, time.Since(began))
		used += p.processor(b)
		for len(fleet.sent) > 0 {
			<-fleet.sent
		}
		for range views {
			<-fleet.sent
		}
		rss, peak = max(rss, p.memory(b, "VmRSS:")), max(peak, p.memory(b, "VmHWM:"))
		p.stop(b)
	}
	b.ReportMetric(float64(fastest.Milliseconds()), "ms-to-ready")
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "processor-ms-to-ready")
	b.ReportMetric(rss, "MB-resident")
	b.ReportMetric(peak, "MB-for-a-moment")
	b.ReportMetric(0, "ns/op")
}

// fill opens and confirms a case for every bad disk.
func fill(ctx context.Context, database string, view glia.FleetView) error {
	st, err := store.OpenSQLite(ctx, database)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	for _, h := range view.Hosts {
		for _, d := range h.Disks {
			if d.Verdict.State != glia.StateFailed {
				continue
			}
			at := view.At.Add(-48 * time.Hour) // long enough ago that the breaker does not trip
			data := repairer.Data{Disk: &d.Disk, Verdict: &d.Verdict, Mode: repairer.ModeObserve}
			c, err := st.Open(ctx, repairer.Event{At: at, Kind: repairer.KindOpened, Data: data})
			if err == nil {
				_, err = st.Append(ctx, repairer.Event{Case: c.ID, At: at, Kind: repairer.KindConfirming}, repairer.Event{Case: c.ID, At: at, Kind: repairer.KindConfirmed, Data: data})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// process is a running repairer.
type process struct {
	cmd *exec.Cmd
	url string
}

func start(b *testing.B, database, synapse string, env ...string) process {
	b.Helper()
	addr := testbed.Addr(b)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), envDatabase+"="+database, envSynapse+"="+synapse, envListen+"="+addr), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, if all went well
	return process{cmd, "http://" + addr}
}

// until waits until the repairer says that it is ready and has looked at so many waiting cases; in its first
// life, until it has written down what holds each back.
func (p process) until(b *testing.B, within time.Duration, cases int, first bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), within)
	defer cancel()
	for {
		if status, _ := get(ctx, p.url+"/readyz"); status == http.StatusOK {
			_, text := get(ctx, p.url+"/metrics")
			if has(text, `glia_cases{phase="waiting"}`, cases) && (!first || has(text, `glia_gate_refusals_total{gate="mode"}`, cases)) {
				return
			}
		}
		select {
		case <-ctx.Done():
			b.Fatalf("the repairer is not ready within %s", within)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// has looks for a value of a metric, however it is written.
func has(text, metric string, want int) bool {
	for l := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(l, metric); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && v == float64(want)
		}
	}
	return false
}

// processor is how long the processors have worked for the process: utime and stime of proc_pid_stat(5), in
// ticks of which Linux has 100 a second.
func (p process) processor(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // from the third field on
	var user, system time.Duration
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	return (user + system) * time.Second / 100
}

func get(ctx context.Context, url string) (status int, text string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, ""
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

// memory reads one figure of the process, in MB.
func (p process) memory(b *testing.B, name string) float64 {
	b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kb float64
		if text, ok := strings.CutPrefix(s.Text(), name); ok {
			if _, err := fmt.Sscan(text, &kb); err == nil {
				return kb * 1024 / 1e6
			}
		}
	}
	b.Fatalf("the kernel does not tell %s of the process", name)
	return 0
}

// stop ends the process and waits for it.
func (p process) stop(b *testing.B) {
	b.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
}
