package repairer_test

import (
	"slices"
	"testing"

	"glia"
	"glia/repairer"
)

// headlined is a feed in which a host tells of a fault of its own.
type headlined struct{ repairer.Feed }

func (f headlined) View() (glia.FleetView, error) {
	v, err := f.Feed.View()
	v.Hosts = slices.Clone(v.Hosts)
	v.Hosts[0].Member.Announcement.Finding = "3 of 8 disks of controller 0000:3b:00.0 fail together"
	return v, err
}

func TestEngine_TellsPeopleWhatHostsFind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Feed = headlined{o.Feed} })
	w.tick()
	if f := w.engine.Findings(); len(f) != 1 || f[0] != "node-1: 3 of 8 disks of controller 0000:3b:00.0 fail together; look at the host before any disk" {
		t.Errorf("findings %q", f)
	}
}
