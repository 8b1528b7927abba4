package repairer_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	"glia/internal/figures"
	"glia/internal/sim"
	"glia/repairer"
	"glia/repairer/storage/filesystem"
	"glia/repairer/store"
	"glia/repairer/ticket"
)

// still is a fleet view that does not change.
type still glia.FleetView

func (s still) View() (glia.FleetView, error) { return glia.FleetView(s), nil }

// largeFleet is 2,800 hosts of 36 disks, of which so many are bad, spread over the hosts. A host with a
// bad disk tells its detail.
func largeFleet(bad int) glia.FleetView {
	const hosts, disks = 2800, 36
	view := glia.FleetView{At: wnow}
	for h := range hosts {
		name := fmt.Sprintf("node-%d", h)
		hv := glia.HostView{Member: glia.Member{Announcement: glia.Announcement{Host: name, DiskCount: disks}, Status: glia.MemberAlive}, FetchedAt: wnow}
		mine := bad / hosts
		if h < bad%hosts {
			mine++
		}
		for d := range disks {
			if mine == 0 {
				break
			}
			s := glia.DiskStatus{
				Disk: glia.Disk{
					Identity: glia.Identity{Serial: fmt.Sprintf("N%dS%d", h, d), Model: "M", Firmware: fmt.Sprint(h % 5), Size: 1000, Class: glia.ClassHDD},
					Location: glia.Location{Host: name, Slot: fmt.Sprint(d), Device: "sda"},
					Mounts:   []glia.Mount{{Source: "sda", Target: fmt.Sprint("/data/", d), FSType: "xfs", UUID: "u"}},
				},
				Verdict: glia.Verdict{State: glia.StateHealthy, ObservedAt: wnow, ExpiresAt: wnow.Add(time.Hour), Prober: "1", RuleSet: "r"},
			}
			if d < mine {
				s.Verdict.State = glia.StateFailed
				s.Verdict.Reasons = []glia.Reason{{Class: glia.Media, State: glia.StateFailed, Since: wnow.Add(-48 * time.Hour)}, {Class: glia.Filesystem, State: glia.StateFailed, Since: wnow.Add(-48 * time.Hour)}}
			}
			hv.Disks = append(hv.Disks, s)
		}
		view.Hosts = append(view.Hosts, hv)
	}
	return view
}

func rack(n int) (out []repairer.Domain) {
	for i := range n {
		out = append(out, repairer.Domain{Name: fmt.Sprint("rack-", i), Hosts: []string{fmt.Sprintf("node-%d?", i)}})
	}
	return out
}

var failing = []glia.State{glia.StateFailing, glia.StateFailed}

// A fleet of 100,800 disks with 50 bad ones, from the view to all refusals.
func BenchmarkGates_LargeFleet(b *testing.B) {
	view := largeFleet(50)
	limits := repairer.Limits{Fleet: 12, Domain: 1, Host: 1, Model: 4, Units: 12, AFR: 0.015, Window: day}
	driver := filesystem.New(nil)
	var cases []repairer.Case
	for _, h := range view.Hosts {
		for _, d := range h.Disks {
			if d.Verdict.State == glia.StateFailed {
				plan := driver.Plan(d.Disk)
				plan.Mode = repairer.ModeAuto
				cases = append(cases, repairer.Case{ID: fmt.Sprint("c", len(cases)), Disk: d.Disk, Verdict: d.Verdict, Plan: &plan, Started: len(cases) < 11})
			}
		}
	}
	domains := rack(280)
	names := map[string][]string{}
	for i := range 2800 {
		names[fmt.Sprint("node-", i)] = []string{fmt.Sprint("rack-", i/10)}
	}
	refused := 0
	for b.Loop() {
		f := repairer.Facts{
			Now: wnow, ViewAt: view.At, MaxViewAge: time.Minute, OpenStates: failing, Limits: limits, Domains: domains, Open: cases,
			Disks: repairer.CountDisks(view, domains), Flap: repairer.FlapLimits{Block: time.Hour},
			Cohorts: repairer.Cohorts(view, failing, repairer.CohortLimits{Least: 4, Chance: 1e-3}, calm, wnow),
		}
		signs := repairer.ReadSigns(view, failing, day, func(host string) []string { return names[host] }, wnow)
		f.Storms = repairer.NextStorms(f.Storms, repairer.StormLimits{Disks: 3, HostShare: 0.1}, signs, func(int) int { return 12 }, wnow)
		refused = 0
		for _, c := range cases {
			if len(repairer.Gates(c, f)) > 0 {
				refused++
			}
		}
	}
	b.ReportMetric(float64(refused), "refused-of-50")
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/look")
	b.ReportMetric(200, "ms/look"+figures.AtMost)
	b.ReportMetric(0, "ns/op")
}

// One look at 10,000 open cases that wait, one of which somebody has just written to, in a fleet of 100,800
// disks with their full detail. The time of the processor is told as well: on a busy machine the other one
// says little.
func BenchmarkEngine_TickOf10000Cases(b *testing.B) {
	view := largeFleet(10000)
	dir, err := os.MkdirTemp("/dev/shm", "glia") // filling the database is not what is measured
	if err != nil {
		dir = b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	st, err := store.OpenSQLite(b.Context(), filepath.Join(dir, "glia.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	now := func() time.Time { return wnow }
	fleet := sim.NewFleet(now, 1)
	engine := repairer.New(repairer.Options{
		Store: st, Feed: still(view), Hosts: fleet, Tracker: ticket.New(st.DB(), now), Drivers: map[string]repairer.Driver{"": filesystem.New(fleet)},
		Mode: repairer.ModeObserve, Limits: repairer.Limits{Fleet: 2, Domain: 1, Host: 1, Model: 2, Units: 4, AFR: 0.015, Window: day}, Domains: rack(280),
		Cohorts: repairer.CohortLimits{Least: 4, Chance: 1e-3}, Flap: repairer.FlapLimits{Block: time.Hour}, States: failing,
		Tick: time.Second, Settle: time.Minute, MaxViewAge: time.Minute, RetryMin: time.Second, RetryMax: time.Minute, Attempts: 3,
		Now: now, Log: slog.New(slog.DiscardHandler),
	})
	if err := fillStore(b.Context(), st, view); err != nil {
		b.Fatal(err)
	}
	for range 3 { // plan, hold
		if err := engine.TickOnce(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	cases, err := st.Cases(b.Context(), false)
	if err != nil || len(cases) != 10000 || len(cases[0].Refusals) == 0 {
		b.Fatalf("%d cases, %v", len(cases), err)
	}
	var took, used time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		one, err := st.Append(b.Context(), repairer.Event{Case: cases[i%len(cases)].ID, At: wnow, Kind: repairer.KindWaits, Step: "x"})
		if err != nil {
			b.Fatal(err)
		}
		began, usage := time.Now(), processor(b)
		b.StartTimer()
		if err := engine.TickOnce(b.Context()); err != nil {
			b.Fatal(err)
		}
		took, used = took+time.Since(began), used+processor(b)-usage
		b.StopTimer()
		if list, err := st.CasesSince(b.Context(), one.Seq); err != nil || len(list) != 1 || list[0].Seq != one.Seq {
			b.Fatalf("a tick in which nothing happens has written to the log (%v)", err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms/tick")
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "processor-ms/tick")
	b.ReportMetric(100, "ms/tick"+figures.AtMost)
	b.ReportMetric(0, "ns/op")
}

// processor is how long the processors have worked for this process.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fillStore opens and confirms a case for every bad disk.
func fillStore(ctx context.Context, st repairer.Store, view glia.FleetView) error {
	for _, h := range view.Hosts {
		for _, d := range h.Disks {
			if d.Verdict.State != glia.StateFailed {
				continue
			}
			data := repairer.Data{Disk: &d.Disk, Verdict: &d.Verdict, Mode: repairer.ModeObserve}
			c, err := st.Open(ctx, repairer.Event{At: wnow, Kind: repairer.KindOpened, Data: data})
			if err != nil {
				return err
			}
			if _, err := st.Append(ctx, repairer.Event{Case: c.ID, At: wnow, Kind: repairer.KindConfirming}, repairer.Event{Case: c.ID, At: wnow, Kind: repairer.KindConfirmed, Data: data}); err != nil {
				return err
			}
		}
	}
	return nil
}
