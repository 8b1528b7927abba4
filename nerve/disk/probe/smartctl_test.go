package probe_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk/probe"
)

// recorded is an output of smartctl in the testdata of the decoders.
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../smart/testdata/smartctl", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// listed is a source with one disk, sdk, that has the given types.
func listed(t *testing.T, run func(ctx context.Context, argv ...string) ([]byte, error), types ...string) *probe.Smartctl {
	t.Helper()
	dev := t.TempDir()
	if err := os.WriteFile(filepath.Join(dev, "sdk"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dev, "scsi-3600")
	if err := os.Symlink("sdk", link); err != nil {
		t.Fatal(err)
	}
	return &probe.Smartctl{Disks: []probe.SmartctlDisk{{Device: filepath.Join(dev, "gone"), Types: []string{"x"}}, {Device: link, Types: types}}, Run: run,
		Otherwise: fakeSource{"smart", func() []glia.Evidence { return []glia.Evidence{{What: "own"}} }}, Roots: probe.Roots{Dev: dev}}
}

var volume = glia.Disk{Identity: glia.Identity{Serial: "VOLUME"}, Location: glia.Location{Device: "sdk"}}

func TestSmartctl_RecordedOutputs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, want, detail string }{
		{"megaraid-sas.json", noPrediction + "scsi.uncorrected.read=0 scsi.uncorrected.write=0 scsi.uncorrected.verify=0 scsi.grown_defects=0 scsi.temperature>1", "disk REDACTED (megaraid,4): 31 °C"},
		{"megaraid-sata.json", "ata.health? ata.reallocated=0 ata.offline_uncorrectable=0 ata.crc_errors=0 ata.prefail_attributes=0 ata.temperature>1", "does not pass on"},
		{"nvme.json", nvmeBits + "nvme.percentage_used>1 nvme.media_errors>1", "7 media errors"},
		{"qemu-sata.json", "ata.health=0 ata.reallocated>1 ata.prefail_attributes=0 ata.temperature>1", "attribute 5 Reallocated_Sector_Ct is 77"},
		{"scsi-debug-prediction-test.json", strings.TrimSpace(noPrediction), ""}, // 5Dh/FFh: a test of the reporting
		{"standby.json", "smart?", "asleep: in standby"},
	} {
		var argv []string
		s := listed(t, func(_ context.Context, a ...string) ([]byte, error) { argv = a; return recorded(t, c.file), nil }, "megaraid,4")
		got := s.Probe(t.Context(), volume)
		if say(got) != c.want || !strings.Contains(details(got), c.detail) {
			t.Errorf("%s: %s\nwant %s\n%s", c.file, say(got), c.want, details(got))
		}
		if want := []string{"smartctl", "-j", "-x", "-n", "standby", "-d", "megaraid,4", s.Roots.Dev + "/sdk"}; !slices.Equal(argv, want) {
			t.Errorf("%s: ran %q", c.file, argv)
		}
		for _, e := range got {
			if e.Source != "smart" {
				t.Errorf("%s: %+v", c.file, e)
			}
		}
	}
}

// The disks behind one volume are told apart, and one that does not answer hides no other.
func TestSmartctl_SeveralDisksOfAVolume(t *testing.T) {
	t.Parallel()
	s := listed(t, func(_ context.Context, argv ...string) ([]byte, error) {
		if argv[6] == "megaraid,0" {
			return nil, errors.New("exit status 3")
		}
		return recorded(t, "qemu-sata.json"), nil
	}, "megaraid,0", "megaraid,1")
	got := s.Probe(t.Context(), volume)
	var whats []string
	for _, e := range got {
		whats = append(whats, e.What)
	}
	if !slices.Equal(whats, []string{"smart[megaraid,0]", "ata.health[megaraid,1]", "ata.reallocated[megaraid,1]", "ata.prefail_attributes[megaraid,1]", "ata.temperature[megaraid,1]"}) {
		t.Errorf("%q", whats)
	}
	if got[0].Unknown != "smartctl -d megaraid,0: exit status 3" || got[2].Detail != "disk SA1 (megaraid,1): attribute 5 Reallocated_Sector_Ct is 77" {
		t.Errorf("%s", details(got))
	}
}

func TestSmartctl_WhatItCannotReadIsUnknown(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		output string
		err    error
		want   string
	}{
		{"not installed", t.Context(), "", &exec.Error{Name: "smartctl", Err: exec.ErrNotFound}, "smartctl is not installed (package smartmontools)"},
		{"no time left", ended, "", context.Canceled, "smartctl -d sat: stopped"},
		{"no JSON", t.Context(), "Segmentation fault", nil, "smartctl -d sat: output of smartctl: invalid character"},
		{"not opened", t.Context(), `{"json_format_version":[1,0],"smartctl":{"exit_status":2,"messages":[{"string":"Smartctl open device: /dev/sdk failed: Permission denied"}]}}`, nil, "status 2: Smartctl open device: /dev/sdk failed: Permission denied"},
	} {
		s := listed(t, func(context.Context, ...string) ([]byte, error) { return []byte(c.output), c.err }, "sat")
		if got := s.Probe(c.ctx, volume); say(got) != "smart?" || !strings.Contains(got[0].Unknown, c.want) {
			t.Errorf("%s: %s", c.name, details(got))
		}
	}
}

func TestSmartctl_OtherDisksAreReadByTheOtherSource(t *testing.T) {
	t.Parallel()
	s := listed(t, func(context.Context, ...string) ([]byte, error) { t.Error("ran smartctl"); return nil, nil }, "sat")
	if got := s.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "sdl"}}); say(got) != "own=0" || s.Name() != "smart" {
		t.Errorf("%+v", got)
	}
}

func TestRunProgram(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name, script string
		ctx          context.Context
		out, err     string
	}{
		{"output", "printf yes", t.Context(), "yes", ""},
		{"a status that is a verdict", "printf yes; exit 4", t.Context(), "yes", ""},
		{"a status and nothing else", "echo why >&2; exit 4", t.Context(), "", "exit status 4: why"},
		{"killed", "printf half; kill -9 $$", t.Context(), "half", "signal: killed"},
		{"output without end", "yes", t.Context(), "", "more than smartctl does"},
		{"ended before", "printf yes", ended, "", "context canceled"},
	} {
		out, err := probe.RunProgram(c.ctx, "sh", "-c", c.script)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || c.out != "" && string(out) != c.out {
			t.Errorf("%s: %.20q, %v", c.name, out, err)
		}
	}
}

// smartctl itself, at a device that it can not ask.
func TestSmartctl_RealSmartctl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("smartctl"); err != nil {
		t.Skip("smartctl is not installed")
	}
	d := newLoop(t, mib)
	s := &probe.Smartctl{Disks: []probe.SmartctlDisk{{Device: d.DevicePath(), Types: []string{"sat", "nosuch"}}}, Otherwise: &probe.SMART{}}
	got := s.Probe(t.Context(), d.Disk)
	if len(got) != 2 || !strings.Contains(got[0].Unknown, "asleep: in sleep, or it does not answer smartctl") || !strings.Contains(got[1].Unknown, "status 1: "+d.DevicePath()+": Unknown device type 'nosuch'") {
		t.Errorf("%+v", got)
	}
}
