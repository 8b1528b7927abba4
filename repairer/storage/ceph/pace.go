package ceph

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"glia/repairer"
)

// Pacing bounds what a repair demands of a cluster.
type Pacing struct {
	PGs     int           // of one case, in motion at a time; at least 1
	Latency time.Duration // of commits on the other OSDs, above which fewer PGs move; 0: not watched
	Quiet   time.Duration // after which the manager has heard of a change for sure: several times mgr_stats_period
}

// course is how far an OSD has come on its way out or in. It lives in memory only: after a restart it is
// begun again, and the first look takes the quiet time.
type course struct {
	changed time.Time       // of the last change of weight; zero: of none that is known
	epoch   int             // of the map after it
	asked   int             // PGs that the changes were to set in motion and that no report had shown, after the last one
	stayed  int             // PGs that were to keep their copy by the reports of that moment; -1: no change was made in this life
	budget  int             // PGs that may move now; 0: not set yet
	judged  time.Time       // when the budget was changed
	mine    map[string]bool // PGs that were seen on the OSDs
	left    int64           // bytes still to move, at the last look
	at      time.Time       // of that look
	rate    float64         // bytes a second, smoothed
	moved   time.Time       // when left last became less, or the number of PGs did
	pgs     int
	serving serving
}

// sight is what a course sees in one look.
type sight struct {
	on      int   // PGs that have or are to have a copy on the OSDs
	staying int   // those of them that are to keep it
	moving  int   // PGs of the course that are not settled
	left    int64 // bytes of them that are still to move
	heard   bool  // the reports are newer than the last change of weight
	stuck   []string
}

// see reads the look for a drain or a refill of the OSDs. PGs are those that touch them.
func (c *course) see(l Look, ids []int, pgs []PG, p Pacing) sight {
	if c.mine == nil {
		c.mine = map[string]bool{}
	}
	if c.changed.IsZero() {
		c.changed, c.epoch, c.stayed = l.At, l.Map.Epoch, -1
	}
	var s sight
	s.heard = l.At.Sub(c.changed) >= p.Quiet
	reported := len(pgs) > 0
	for _, pg := range pgs {
		c.mine[pg.ID] = true
		s.on++
		if slices.ContainsFunc(ids, func(id int) bool { return slices.Contains(pg.Up, id) }) {
			s.staying++
		}
		s.left += pg.Left()
		reported = reported && pg.Reported >= c.epoch
	}
	for _, pg := range l.Unfit {
		if c.mine[pg.ID] {
			s.moving++
			if !pg.Touches(ids) {
				s.left += pg.Left()
			}
			for state := range strings.SplitSeq(pg.State, "+") {
				if strings.HasSuffix(state, "_toofull") || strings.HasSuffix(state, "_unfound") {
					s.stuck = append(s.stuck, state)
				}
			}
		}
	}
	slices.Sort(s.stuck)
	s.stuck = slices.Compact(s.stuck)
	s.heard = s.heard || reported
	c.measure(l.At, s)
	return s
}

// measure keeps the rate at which data moves.
func (c *course) measure(now time.Time, s sight) {
	if c.moved.IsZero() || s.left < c.left || s.on < c.pgs {
		c.moved = now
	}
	if dt := now.Sub(c.at).Seconds(); !c.at.IsZero() && dt > 0 && s.left <= c.left {
		r := float64(c.left-s.left) / dt
		const weight = 0.2 // of the newest measurement
		if c.rate == 0 {
			c.rate = r
		}
		c.rate = c.rate*(1-weight) + r*weight
	}
	c.left, c.at, c.pgs = s.left, now, s.on
}

// begun says that the last change of weight is known, because it was made in this life of the repairer.
func (c *course) begun() bool { return c.stayed >= 0 }

// began keeps that the weight was changed, in the map of that epoch, and sets so many more PGs in motion.
func (c *course) began(at time.Time, epoch, pgs int, s sight) {
	c.asked, c.stayed = c.unseen(s)+pgs, s.staying
	c.changed, c.epoch = at, epoch
}

// lost says that the weight may have been changed: an attempt that fails, or whose answer is lost, may have done so. It
// is as after a restart then, or the same room would be given away twice.
func (c *course) lost() { c.changed = time.Time{} }

// unseen are the PGs that a change of weight has set in motion and that the manager has not heard of yet. They
// count as moving, so that what the driver asks for next needs not wait until all of them have reported.
func (c *course) unseen(s sight) int {
	if s.heard || !c.begun() {
		return 0
	}
	gone := s.staying - c.stayed
	return max(0, c.asked-max(gone, -gone))
}

// allow sets how many PGs may move now, by the latency of the other OSDs: half as many when clients
// suffer, an eighth more when they do not. It tells whether they suffer.
func (c *course) allow(l Look, ids []int, p Pacing) (suffering bool) {
	if c.budget == 0 {
		c.budget, c.judged = p.PGs, l.At
	}
	ms, known := latency(l, ids)
	suffering = p.Latency > 0 && known && ms > float64(p.Latency.Milliseconds())
	if l.At.Sub(c.judged) < p.Quiet {
		return suffering
	}
	c.judged = l.At
	if suffering {
		c.budget = max(1, c.budget/2)
	} else {
		c.budget = min(p.PGs, c.budget+max(1, p.PGs/8))
	}
	return suffering
}

// latency is the one that 9 of 10 of the other OSDs stay below, in milliseconds.
func latency(l Look, ids []int) (float64, bool) {
	var ms []float64
	for id, v := range l.Latency {
		if !slices.Contains(ids, id) && l.Map.OSDs[id].Up {
			ms = append(ms, v)
		}
	}
	if len(ms) == 0 {
		return 0, false
	}
	slices.Sort(ms)
	return ms[(len(ms)*9-1)/10], true
}

// lower is the next reweight of an OSD on its way out: low enough that as many PGs as there is room for
// begin to move. A PG stays on an OSD while a hash of both is below the reweight, so that each PG moves
// once, to where it would go if the OSD were marked out at once.
func lower(now Weight, staying, moving, budget int) Weight {
	free := room(staying, moving, budget)
	if staying <= free {
		return 0
	}
	next := now * Weight(1-float64(free)/float64(staying))
	if next < least {
		return 0
	}
	return next
}

// raise is the next reweight of an OSD on its way in, which is to have so many PGs at the goal.
func raise(now, goal Weight, pgs, moving, budget int) Weight {
	missing := int(math.Ceil(float64(pgs) * float64(1-now/goal)))
	free := room(missing, moving, budget)
	if free == 0 && missing > 0 {
		return now
	}
	if missing <= free {
		return goal
	}
	return min(goal, now+goal*Weight(float64(free)/float64(pgs)))
}

// room is how many PGs a change of weight sets in motion: 0 until it is a quarter of the budget, or the
// last ones, because each change is a new map for every OSD and client.
func room(left, moving, budget int) int {
	free := max(0, budget-moving)
	if free < min(left, (budget+3)/4) {
		return 0
	}
	return min(left, free)
}

// least is the reweight below which an OSD may as well be out.
const least = 0.01

// eta is the time that the rest takes at the present rate; empty while none is known.
func (c *course) eta() string {
	if c.rate < 1 || c.left <= 0 {
		return ""
	}
	d := time.Duration(float64(c.left) / c.rate * float64(time.Second))
	switch {
	case d < time.Minute:
		return ", about " + d.Round(time.Second).String() + " to go"
	case d < 100*24*time.Hour:
		return ", about " + strings.TrimSuffix(d.Round(time.Minute).String(), "0s") + " to go"
	}
	return ""
}

// progress is how far the course has come, for people.
func (c *course) progress(osds string, s sight, w Weight) string {
	return fmt.Sprintf("%s at reweight %.2f: %d PGs, %d of them moving, %s to move%s", osds, float64(w), s.on, s.moving, repairer.FormatSize(uint64(max(0, s.left))), c.eta())
}

// stalled is after how long without any progress a course says so.
const stalled = 30 * time.Minute
