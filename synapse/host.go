package synapse

import (
	"time"

	"github.com/cenkalti/backoff/v5"

	"glia"
)

// host is what the loop knows of one host.
type host struct {
	name    string
	member  glia.Member
	claimed bool // that several announcers claim its name, so that none can be asked

	disks     []glia.DiskStatus
	fetchedAt time.Time // when disks were read; zero when the host holds no detail
	learned   uint64    // generation that the nerve itself told with them
	problem   string    // why the last question failed; empty after an answer

	busy     bool // that it is being asked
	tried    key  // what was announced when it was last asked; zero before
	failures int  // questions in a row that failed
	retryAt  time.Time
	retry    *backoff.ExponentialBackOff

	queue *queue // that it waits in; nil for none
	place int    // in that queue
	at    time.Time
}

// key is the part of an announcement whose change makes the detail outdated. The state is part of it
// because a nerve that lost its own state counts its generations from the start again.
type key struct {
	address    address
	generation uint64
	worst      glia.State
}

type address struct{ api, fingerprint string }

func keyOf(a glia.Announcement) key {
	return key{address: address{a.API, a.Fingerprint}, generation: a.Generation, worst: a.Worst}
}

type act int

const (
	wait  act = iota // until decision.at; for news, if that is zero
	fetch            // ask the nerve for its disks
	drop             // forget the detail
)

// decision is what to do for a host now.
type decision struct {
	act act
	at  time.Time
	why string
}

// decide says what to do for the host. The detail of a bad host is read when its announcement
// changes and once every resync. A host that is bad no longer is asked once more, so that everybody
// learns the cleared verdicts, and its detail is dropped one resync later.
func (h *host) decide(now time.Time, resync time.Duration) decision {
	holds := !h.fetchedAt.IsZero()
	bad := needsDetail(h.member.Announcement)
	k := keyOf(h.member.Announcement)
	switch {
	case h.busy:
		return decision{why: "it is being asked"}
	case h.member.Status != glia.MemberAlive:
		return decision{why: "it is not alive"}
	case h.claimed:
		return decision{why: "several announcers claim its name"}
	case !bad && !holds:
		return decision{why: "nothing is wrong with it"}
	case h.failures > 0 && k.address == h.tried.address && now.Before(h.retryAt):
		return decision{at: h.retryAt, why: "it did not answer just now"}
	case h.failures > 0:
		return decision{act: fetch, why: "it did not answer before"}
	case k != h.tried && !h.knew(k):
		return decision{act: fetch, why: "its announcement changed"}
	case now.Before(h.fetchedAt.Add(resync)):
		return decision{at: h.fetchedAt.Add(resync), why: "its detail is fresh"}
	case bad:
		return decision{act: fetch, why: "its detail is due to be read again"}
	default:
		return decision{act: drop, why: "it is bad no longer"}
	}
}

// needsDetail says whether an announcement tells that something is wrong. Unknown is not wrong.
func needsDetail(a glia.Announcement) bool { return a.Worst.Bad() || len(a.Bad) > 0 }

// knew says whether the detail told already what is announced now: a nerve's API may be ahead of
// what the registry shows.
func (h *host) knew(k key) bool {
	return k.address == h.tried.address && k.generation == h.learned && k.worst == glia.NewAnnouncement("", "", h.disks).Worst
}

// announce takes over what the registry shows.
func (h *host) announce(c claim) {
	h.member, h.claimed = c.member, c.contested
	if h.fetchedAt.IsZero() && !needsDetail(c.member.Announcement) {
		h.forgive() // nobody waits for its answer any more
	}
}

func (h *host) asked() {
	h.busy = true
	if k := keyOf(h.member.Announcement); k.address != h.tried.address {
		h.forgive() // another address deserves another chance
	}
	h.tried = keyOf(h.member.Announcement)
}

func (h *host) answered(r result, now time.Time) {
	h.busy = false
	h.disks, h.fetchedAt, h.learned = r.disks, now, r.generation
	h.forgive()
}

func (h *host) refused(r result, now time.Time) {
	h.busy = false
	h.problem = r.err.Error()
	h.failures++
	h.retryAt = now.Add(h.retry.NextBackOff())
}

func (h *host) forgive() {
	h.problem, h.failures, h.retryAt = "", 0, time.Time{}
	h.retry.Reset()
}

func (h *host) drop() { h.disks, h.fetchedAt, h.learned, h.tried = nil, time.Time{}, 0, key{} }

// view is what is published of the host.
func (h *host) view() *glia.HostView {
	return &glia.HostView{Member: h.member, Disks: h.disks, FetchedAt: h.fetchedAt, Problem: h.problem}
}
