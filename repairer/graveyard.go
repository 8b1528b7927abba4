package repairer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"glia"
)

// graveyard knows the retired serials and finds them again on any host. The fleet view has no detail of
// hosts on which all is well, so those are asked, a few at each tick, when they have announced something
// new and from time to time. It is safe for concurrent use.
type graveyard struct {
	mu      sync.Mutex
	retired map[string]bool
	changed <-chan struct{} // closed when retired may be out of date; nil: never read
	at      uint64          // the count of retirements at which it was read
	visits  map[string]visit
}

// visit is what a host without detail in the view was seen to have.
type visit struct {
	generation uint64
	count      int
	at         time.Time
	disks      []glia.DiskStatus // retired ones, by the list of that time
}

const (
	graveTask       = "graveyard" // its name among the cases that are busy
	visitEvery      = 10 * time.Minute
	visitsEachTick  = 4
	graveDateFormat = time.DateOnly
)

// serials are the retired serials. They are read anew when the store was written to or a look has found
// more of them.
func (g *graveyard) serials(ctx context.Context, st Store, retirements uint64) (map[string]bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.changed:
	default:
		if g.changed != nil && g.at == retirements {
			return g.retired, nil
		}
	}
	changed := st.Changed() // before reading, so that nothing is missed
	list, err := st.Retired(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the retired serials: %w", err)
	}
	retired := make(map[string]bool, len(list))
	for _, s := range list {
		retired[s] = true
	}
	g.retired, g.changed, g.at = retired, changed, retirements
	return retired, nil
}

// risen tells of the retired disks that are in some host again, and which of them get no case: those
// that nobody uses. A disk that failed before and lies about in a slot needs no repair.
func (e *Engine) risen(ctx context.Context, l *snapshot) (findings []string, barred map[string]bool, err error) {
	retired, err := e.graves.serials(ctx, e.Store, e.memory.retirements())
	if err != nil || len(retired) == 0 {
		return nil, nil, err
	}
	open := map[string]string{} // host of the open case of a serial
	for _, c := range l.cases {
		open[c.Serial()] = c.Host()
	}
	barred = map[string]bool{}
	for _, h := range l.view.Hosts {
		if h.Member.Status != glia.MemberAlive {
			continue
		}
		disks := h.Disks
		if len(disks) == 0 {
			disks = e.graves.visited(h.Member.Announcement.Host)
		}
		for _, d := range disks {
			serial := d.Disk.Serial()
			if !retired[serial] || d.Verdict.State == glia.StateMissing {
				continue
			}
			if host, has := open[serial]; has && host == d.Disk.Location.Host {
				continue // its own case tells of it
			}
			barred[serial] = len(d.Disk.Mounts) == 0
			last, err := e.Store.LastCase(ctx, serial)
			if err != nil && !errors.Is(err, glia.ErrNotFound) {
				return nil, nil, fmt.Errorf("look for the case of %s: %w", serial, err)
			}
			findings = append(findings, risenText(last, d.Disk))
		}
	}
	return findings, barred, nil
}

func risenText(last Case, d glia.Disk) string {
	when, why := last.ClosedAt, "it failed before"
	if when.IsZero() {
		when = last.At
	}
	if last.Outcome == OutcomeFalseAlarm {
		why = "it was found to be a false alarm, and is still not taken as a replacement"
	}
	if len(d.Mounts) > 0 {
		why += ", and is in use on " + d.Mounts[0].Target
	}
	return fmt.Sprintf("%s was taken out in case %s on %s; it is now in %s of %s: %s", d.Serial(), last.ID, when.UTC().Format(graveDateFormat), d.Location.Place(), d.Location.Host, why)
}

func (g *graveyard) visited(host string) []glia.DiskStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.visits[host].disks
}

// due says whether a host is to be asked now, and notes that it is.
func (g *graveyard) due(a glia.Announcement, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	v, known := g.visits[a.Host]
	if known && v.generation == a.Generation && v.count == a.DiskCount && now.Sub(v.at) < visitEvery {
		return false
	}
	if g.visits == nil {
		g.visits = map[string]visit{}
	}
	v.generation, v.count, v.at = a.Generation, a.DiskCount, now
	g.visits[a.Host] = v
	return true
}

// visit asks some hosts for their disks. One that does not answer is asked again after a while; what
// it had is believed until then.
func (e *Engine) visit(ctx context.Context, l *snapshot) {
	retired, err := e.graves.serials(ctx, e.Store, e.memory.retirements())
	if err != nil || len(retired) == 0 {
		return // the look at the cases tells of the error
	}
	asked := 0
	for _, h := range l.view.Hosts {
		a := h.Member.Announcement
		if asked == visitsEachTick || ctx.Err() != nil {
			return
		}
		if h.Member.Status != glia.MemberAlive || len(h.Disks) > 0 || !e.graves.due(a, l.facts.Now) {
			continue
		}
		asked++
		disks, err := e.Hosts.Disks(ctx, a.Host)
		if err != nil {
			e.Log.Debug("host was not searched for retired disks", "host", a.Host, "error", err)
			continue
		}
		var found []glia.DiskStatus
		for _, d := range disks {
			if retired[d.Disk.Serial()] {
				found = append(found, d)
			}
		}
		e.graves.note(a.Host, found)
	}
}

func (g *graveyard) note(host string, found []glia.DiskStatus) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.visits[host]
	v.disks = found
	g.visits[host] = v
}
