// Package kill has no code of its own: its tests prove that a repairer may be killed at any instant.
//
// They run the repairer that production runs, in a process of its own, end it with SIGKILL before and
// after every write to its store and every effect outside, and at random instants, and start it again.
// Whatever the instant, the case must come to the same end, and the host, which keeps its own account,
// must have done each act once. A point that does not hold is told with its number, and
// KILL_AT=17:after make test-kill repeats it. A plain go test tries a sample.
//
// Two and three such processes on one PostgreSQL are stopped, killed and cut off from it, and the database
// itself is taken away: another one acts within 15 seconds with the default lease, no order is carried
// out for one that has a successor, and the end is the same again.
package kill
