package glia_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func status(device string, s glia.State) glia.DiskStatus {
	return glia.DiskStatus{Disk: glia.Disk{Identity: glia.Identity{Serial: "S-" + device}, Location: glia.Location{Device: device}}, Verdict: glia.Verdict{State: s}}
}

func TestNewAnnouncement_Digests(t *testing.T) {
	t.Parallel()
	gone := status("", glia.StateMissing)
	for _, tc := range []struct {
		name  string
		disks []glia.DiskStatus
		worst string
		bad   string
	}{
		{"no disk at all is not healthy", nil, "unknown", ""},
		{"all healthy", []glia.DiskStatus{status("sda", glia.StateHealthy), status("sdb", glia.StateHealthy)}, "healthy", ""},
		{"one that nobody looked at", []glia.DiskStatus{status("sda", glia.StateHealthy), status("sdb", glia.StateUnknown)}, "unknown", ""},
		{"bad outweighs unknown", []glia.DiskStatus{status("sda", glia.StateSuspect), status("sdb", glia.StateUnknown)}, "suspect", "sda:suspect"},
		{"worst first, then by name", []glia.DiskStatus{status("sdb", glia.StateFailing), status("sdc", glia.StateFailed), status("sda", glia.StateFailing)}, "failed", "sdc:failed sda:failing sdb:failing"},
		{"a missing disk by its serial", []glia.DiskStatus{gone}, "missing", "S-:missing"},
	} {
		a := glia.NewAnnouncement("h", "h:1", tc.disks)
		var bad []string
		for _, b := range a.Bad {
			bad = append(bad, b.Device+":"+b.State.String())
		}
		if a.Worst.String() != tc.worst || strings.Join(bad, " ") != tc.bad || a.DiskCount != len(tc.disks) {
			t.Errorf("%s: %s, %v, %d disks; want %s, %s", tc.name, a.Worst, bad, a.DiskCount, tc.worst, tc.bad)
		}
	}
}

func TestAnnouncement_SameDigestIgnoresTheGeneration(t *testing.T) {
	t.Parallel()
	a := glia.NewAnnouncement("h", "h:1", []glia.DiskStatus{status("sda", glia.StateFailed)})
	b := a
	b.Generation = 7
	if !a.SameDigest(b) {
		t.Error("the generation counts")
	}
	for name, change := range map[string]func(*glia.Announcement){
		"api": func(x *glia.Announcement) { x.API = "h:2" }, "fingerprint": func(x *glia.Announcement) { x.Fingerprint = "ff" },
		"finding": func(x *glia.Announcement) { x.Finding = "f" },
		"count":   func(x *glia.Announcement) { x.DiskCount++ }, "worst": func(x *glia.Announcement) { x.Worst = glia.StateWorn },
		"bad": func(x *glia.Announcement) { x.Bad = nil },
	} {
		c := a
		c.Bad = slices.Clone(a.Bad)
		change(&c)
		if a.SameDigest(c) {
			t.Errorf("%s does not count", name)
		}
	}
}

func TestVerdict_ExpiresToUnknown(t *testing.T) {
	t.Parallel()
	v := glia.Verdict{State: glia.StateFailed, ObservedAt: now, ExpiresAt: now.Add(time.Minute), Reasons: []glia.Reason{{Words: "w"}}}
	if got := v.At(now.Add(time.Minute)); got.State != glia.StateFailed {
		t.Errorf("at its end it is %s", got.State)
	}
	got := v.At(now.Add(time.Minute + 1))
	if got.State != glia.StateUnknown || len(got.Reasons) > 0 || !strings.Contains(got.Why, "it said failed") {
		t.Errorf("after its end it is %+v", got)
	}
	if (glia.Verdict{}).State != glia.StateUnknown {
		t.Error("the zero verdict is not unknown")
	}
}

func TestVerdict_Witnesses(t *testing.T) {
	t.Parallel()
	r := func(c glia.EvidenceClass, s glia.State) glia.Reason { return glia.Reason{Class: c, State: s} }
	for name, tc := range map[string]struct {
		reasons []glia.Reason
		want    []glia.EvidenceClass
	}{
		"none":                           {nil, nil},
		"two classes":                    {[]glia.Reason{r(glia.Media, glia.StateFailed), r(glia.Filesystem, glia.StateFailing)}, []glia.EvidenceClass{glia.Media, glia.Filesystem}},
		"one class twice":                {[]glia.Reason{r(glia.Media, glia.StateFailed), r(glia.Media, glia.StateFailing)}, []glia.EvidenceClass{glia.Media}},
		"suspicion is no witness":        {[]glia.Reason{r(glia.Media, glia.StateFailed), r(glia.Latency, glia.StateSuspect)}, []glia.EvidenceClass{glia.Media}},
		"cable and heat are no witness":  {[]glia.Reason{r(glia.Interface, glia.StateFailed), r(glia.Thermal, glia.StateFailed)}, nil},
		"wear alone is worn, not failed": {[]glia.Reason{r(glia.Wear, glia.StateWorn)}, nil},
	} {
		if got := (glia.Verdict{Reasons: tc.reasons}).Witnesses(); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestState_TravelsByName(t *testing.T) {
	t.Parallel()
	for s := glia.StateUnknown; s <= glia.StateFailed; s++ {
		b, err := json.Marshal(s)
		var back glia.State
		if err != nil || json.Unmarshal(b, &back) != nil || back != s {
			t.Errorf("%s became %s as %s", s, back, b)
		}
	}
	if _, err := glia.ParseState("Failed"); err == nil || !strings.Contains(err.Error(), "known are unknown, healthy") {
		t.Errorf("a typo: %v", err)
	}
}

func TestLocation_Place(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]glia.Location{
		"":                          {Device: "sda"},
		"pci-0000:00:1f.2-ata-1":    {ByPath: "pci-0000:00:1f.2-ata-1", Device: "sda"},
		"slot 3":                    {Slot: "3", ByPath: "x"},
		"0x500304801f0c5dbf slot 3": {Enclosure: "0x500304801f0c5dbf", Slot: "3", ByPath: "x"},
	} {
		if got := l.Place(); got != want {
			t.Errorf("%+v is %q, want %q", l, got, want)
		}
	}
}
