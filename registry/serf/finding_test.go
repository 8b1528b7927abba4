package serf_test

import (
	"strings"
	"testing"

	"glia"
	"glia/registry/registrytest"
	"glia/registry/serf"
)

func TestDigest_FindingFitsBesideTheBadDisks(t *testing.T) {
	t.Parallel()
	short, long := "3 of 8 disks of controller 0000:3b:00.0 fail together", strings.Repeat("ü", 400)
	for _, c := range []struct {
		name, finding, want string
		bad                 int
		foreign             map[string]string
	}{
		{"alone", short, short, 0, nil},
		{"with more bad disks than fit", short, short, 90, nil},
		{"longer than its place", long, strings.Repeat("ü", 50), 90, nil},
		{"no room at all", short, "", 0, map[string]string{"x": strings.Repeat("x", 392)}},
	} {
		a := registrytest.Announcement("node-1", 7)
		a.Finding, a.Bad = c.finding, nil
		for range c.bad {
			a.Bad = append(a.Bad, glia.BadDisk{Device: "nvme10n1", State: glia.StateFailing})
		}
		tags, err := serf.EncodeDigest(a, c.foreign)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := serfAccepts(tags); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		m, ok := serf.DecodeDigest("node-1", tags)
		if got := m.Announcement; !ok || got.Finding != c.want || len(got.Bad)+got.More != c.bad || m.Problem != "" {
			t.Errorf("%s: %q, %d bad and %d more, problem %q", c.name, got.Finding, len(got.Bad), got.More, m.Problem)
		}
	}
}
