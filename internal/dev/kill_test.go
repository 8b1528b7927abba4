package dev_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	_ "modernc.org/sqlite"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/daemon"
	"glia/internal/dev"
)

// process is a repairer in a process of its own, which can be killed.
type process struct {
	t      *testing.T
	binary string
	config string
	cmd    *exec.Cmd
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.binary, "-config", p.config)
	log, err := os.OpenFile(p.config+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // SIGKILL
	_ = p.cmd.Wait()
}

func writeConfig(t *testing.T, path string, c config.Repairer) {
	t.Helper()
	text := fmt.Sprintf("database = %q\nsynapse = %q\nmode = %q\n[api]\nlisten = %q\n[access]\nloopback = \"destroy\"\n[repair]\nsettle = \"1s\"\nretry_min = \"1s\"\n", c.Database, c.Synapse, c.Mode, c.API.Listen)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The repairer is killed with SIGKILL when its log shows that a step was begun or done, and started
// again. The case must come to the same end, with one ticket and every act done once.
func TestRepairer_KilledThreeTimesGoesOn(t *testing.T) {
	t.Parallel()
	needLoop(t)
	dir := t.TempDir()
	binary := filepath.Join(dir, "repairer")
	if out, err := exec.Command("go", "build", "-o", binary, "glia/cmd/repairer").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := newOptions(t)
	o.Out = os.Stderr
	ctx, _, fleet := running(t, o, 15*time.Minute)
	c, url, err := fleet.RepairerConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, binary: binary, config: filepath.Join(dir, "repairer.toml")}
	writeConfig(t, p.config, c)
	p.start()
	t.Cleanup(func() { p.kill() })
	client := gliav1connect.NewRepairServiceClient(daemon.HTTPClient(nil), url)

	// Wait for three healthy hosts, through the repairer itself.
	poll(ctx, t, "a healthy fleet", func() bool {
		r, err := client.GetStatus(ctx, connect.NewRequest(&gliav1.GetStatusRequest{}))
		if err != nil {
			return false // it is starting
		}
		n := 0
		for _, h := range r.Msg.GetHosts() {
			if h.GetWorst() == gliav1.State_STATE_HEALTHY && h.GetDiskCount() == 4 {
				n++
			}
		}
		return n == 3
	})
	act := dev.Act{Dir: o.Dir, Host: "node-2", Slot: 3}
	if _, _, err := act.Fail(); err != nil {
		t.Fatal(err)
	}
	killAt := func(what string) {
		t.Helper()
		defer func() {
			if t.Failed() {
				t.Logf("the log has\n%s", eventsIn(t, c.Database, "at/1000000000 || ' ' || kind || ' ' || step || ': ' || text"))
			}
		}()
		poll(ctx, t, what, func() bool { return strings.Contains(eventsIn(t, c.Database, "kind || ' ' || step"), what) })
		p.kill()
		p.start()
	}
	killAt("begun unmount\n")
	killAt("done ticket\n")
	poll(ctx, t, "the ticket", func() bool {
		r, err := client.ListTickets(ctx, connect.NewRequest(&gliav1.ListTicketsRequest{}))
		return err == nil && len(r.Msg.GetTickets()) == 1
	})
	if _, err := act.Pull(); err != nil {
		t.Fatal(err)
	}
	if _, err := act.Insert(ctx, "", false, false); err != nil {
		t.Fatal(err)
	}
	killAt("begun burn-in\n")
	killAt("begun format\n")
	poll(ctx, t, "the end", func() bool {
		r, err := client.GetCase(ctx, connect.NewRequest(&gliav1.GetCaseRequest{Id: "c1"}))
		return err == nil && r.Msg.GetCase().GetPhase() == "closed"
	})
	log := eventsIn(t, c.Database, "kind || ' ' || step")
	for _, step := range []string{"drain", "unmount", "ticket", "burn-in", "format", "mount", "rejoin", "close"} {
		if n := strings.Count(log, "done "+step+"\n"); n != 1 {
			t.Errorf("%s was done %d times:\n%s", step, n, log)
		}
	}
	r, err := client.ListTickets(ctx, connect.NewRequest(&gliav1.ListTicketsRequest{All: true}))
	if err != nil || len(r.Msg.GetTickets()) != 1 || r.Msg.GetTickets()[0].GetStatus() != "closed" {
		t.Errorf("tickets %v, %v", r, err)
	}
	if cases, err := client.ListCases(ctx, connect.NewRequest(&gliav1.ListCasesRequest{All: true})); err != nil || len(cases.Msg.GetCases()) != 1 {
		t.Errorf("cases %v, %v", cases, err)
	}
}

// eventsIn reads the log beside the running repairer, a line for each event.
func eventsIn(t *testing.T, path, columns string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), "SELECT "+columns+" FROM events ORDER BY seq")
	if err != nil {
		return "" // not made yet
	}
	defer func() { _ = rows.Close() }()
	var b strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		b.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// poll asks again and again until ok, or the context ends.
func poll(ctx context.Context, t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s never came", what)
		case <-tick.C:
		}
	}
}
