package ceph

import "time"

// Lower and Raise let tests at the steps of a weight.
var (
	Lower = lower
	Raise = raise
)

// Says lets tests at what signs have against disks.
var Says = says

// Boots counts boots over a row of looks.
func Boots(looks ...Look) map[int]int {
	seen := map[int][]boot{}
	var at time.Time
	for _, l := range looks {
		booted(seen, l)
		at = l.At
	}
	return boots(seen, at)
}

// Course lets tests at the pace of one OSD.
type Course struct{ c course }

// Allow is the budget after a look, and whether clients suffer.
func (c *Course) Allow(l Look, ids []int, p Pacing) (budget int, suffering bool) {
	suffering = c.c.allow(l, ids, p)
	return c.c.budget, suffering
}

// Measure takes a measurement of the bytes that are left, and tells what people are told.
func (c *Course) Measure(at time.Time, left int64, pgs int) string {
	c.c.measure(at, sight{left: left, on: pgs})
	return c.c.eta()
}

// Changed sets so many PGs in motion, seen while so many stay.
func (c *Course) Changed(pgs, staying int) { c.c.began(time.Time{}, 0, pgs, sight{staying: staying}) }

// Unseen are the PGs in motion that no report shows, by reports by which so many stay.
func (c *Course) Unseen(staying int, heard bool) int {
	return c.c.unseen(sight{staying: staying, heard: heard})
}
