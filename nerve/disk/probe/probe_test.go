package probe_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/nerve/disk/probe"
)

type fakeSource struct {
	name string
	see  func() []glia.Evidence
}

func (f fakeSource) Name() string                                     { return f.name }
func (f fakeSource) Probe(context.Context, glia.Disk) []glia.Evidence { return f.see() }

var (
	_ probe.Source = (*probe.Read)(nil)
	_ probe.Source = (*probe.FS)(nil)
	_ probe.Source = (*probe.Write)(nil)
	_ probe.Source = (*probe.Kernel)(nil)
	_ probe.Source = (*probe.SMART)(nil)
	_ probe.Source = (*probe.Smartctl)(nil)
)

func TestProber_DatesWhatSourcesSaw(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := probe.New(
		fakeSource{"a", func() []glia.Evidence { return []glia.Evidence{{What: "a.x"}, {What: "a.y", At: now.Add(-time.Hour)}} }},
		fakeSource{"b", func() []glia.Evidence { return nil }},
		fakeSource{"c", func() []glia.Evidence { return []glia.Evidence{{What: "c.x", Value: 1}} }})
	p.Now = func() time.Time { return now }
	got := p.Probe(t.Context(), glia.Disk{})
	if say(got) != "a.x=0 a.y=0 c.x=1" || !got[0].At.Equal(now) || !got[1].At.Equal(now.Add(-time.Hour)) {
		t.Errorf("%+v", got)
	}
}

func TestProber_WhoseTurnDidNotComeIsUnknown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := probe.New(
		fakeSource{"slow", func() []glia.Evidence { cancel(); return []glia.Evidence{{What: "slow.x"}} }},
		fakeSource{"late", func() []glia.Evidence { t.Error("probed after the end"); return nil }})
	got := p.Probe(ctx, glia.Disk{})
	if say(got) != "slow.x=0 late?" || got[1].Source != "late" || got[1].Unknown != "not begun: stopped (context canceled)" || got[1].At.IsZero() {
		t.Errorf("%+v", got)
	}
}

// The kernel gives the name to another disk while the first one is probed.
func TestProber_NothingIsSaidOfADiskWhoseNameIsAnothers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, after, want string }{
		{"the same", "7\n", "a.x=1"},
		{"another one", "8\n", "a.x?"},
		{"none", "", "a.x?"},
	} {
		sys := t.TempDir()
		number := filepath.Join(sys, "block", "sdk", "diskseq")
		write(t, number, "7\n")
		p := probe.New(fakeSource{"a", func() []glia.Evidence {
			if write(t, number, c.after); c.after == "" {
				_ = os.Remove(number)
			}
			return []glia.Evidence{{What: "a.x", Value: 1, Detail: "bad"}}
		}})
		p.Roots.Sys = sys
		got := p.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "sdk", DiskSeq: 7}})
		if say(got) != c.want || c.want == "a.x?" && got[0].Detail != "" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// The whole path on a real disk, through healthy to failing.
func TestProber_RealDisk(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw")
	p := probe.New(&probe.Kernel{}, &probe.FS{}, &probe.SMART{},
		probe.UnlessAsleep(probe.Roots{}, &probe.Read{}), probe.UnlessAsleep(probe.Roots{}, &probe.Write{}))
	p.Probe(t.Context(), d.Disk)
	if got := p.Probe(t.Context(), d.Disk); say(got) != "fs.readonly=0 fs.errors=0 fs.statfs_errors=0 read.errors=0 "+allGood {
		t.Errorf("healthy: %s\n%s", say(got), details(got))
	}
	d.fail(t)
	if got := p.Probe(t.Context(), d.Disk); !strings.HasSuffix(say(got), " read.errors>1 fs.readback_errors=1") {
		t.Errorf("failing: %s\n%s", say(got), details(got))
	}
}
