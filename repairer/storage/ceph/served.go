package ceph

import "time"

// Served are the operations of clients that the OSDs took part in, since the PGs were made: writes of
// every PG that they hold, and reads of those that they lead. Recovery is not counted. The reports of PGs
// tell it, so that the driver's user needs no capability on OSDs.
func Served(pgs []PG, ids []int) int64 {
	var n int64
	for _, p := range pgs {
		for _, id := range ids {
			if p.Holds(id) {
				n += p.Writes
			}
			if p.Primary == id {
				n += p.Reads
			}
		}
	}
	return n
}

// serving is what a refill has seen of the work of a new OSD that has all its PGs.
type serving struct {
	since time.Time // when all PGs were clean for the first time
	first int64     // operations at that moment
}

// idle is after how many quiet times without any operation of a client a case no longer waits for one: nobody
// may be using the pools of the OSD.
const idle = 4

// look says whether the OSDs have served clients since all their PGs are clean, and whether it is time to go
// on all the same.
func (s *serving) look(now time.Time, served int64, quiet time.Duration) (ops int64, over bool) {
	if s.since.IsZero() || served < s.first { // PGs that were split or merged count anew
		s.since, s.first = now, served
	}
	return served - s.first, now.Sub(s.since) > idle*quiet
}
