package judge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"glia"
)

// Finding is a fault that is put down to the host and not to its disks.
type Finding struct {
	Kind    string    `json:"kind"`              // together or starved
	Scope   string    `json:"scope"`             // what is suspected: "controller 0000:3b:00.0", "host"
	Words   string    `json:"words"`             // what was seen, in words that stay the same while it lasts
	Advice  string    `json:"advice"`            // for the person who looks into it
	Since   time.Time `json:"since"`             // first sign of it
	Serials []string  `json:"serials,omitempty"` // disks that are unknown because of it, sorted
}

// The kinds of findings.
const (
	FindingTogether = "together" // disks that have something in common began to fail together
	FindingStarved  = "starved"  // the prober does not get what it needs to judge
)

// Member is one disk of a host, as it is compared with the others.
type Member struct {
	Disk    glia.Disk
	Since   time.Time // since when something says that the disk itself fails or is gone; zero: nothing does
	Gone    bool      // it is not seen any more
	Decided bool      // that its verdict says so; else not enough probes have decided it yet
}

// Against tells since when something says that the disk itself fails, and whether that has been decided. What
// makes a disk suspect or worn does not count.
func (s DiskState) Against(rs RuleSet, now time.Time, expiry time.Duration) (since time.Time, decided bool) {
	for _, r := range rs.Rules {
		rule := s.Rules[r.Name]
		if r.State < glia.StateFailing || !rule.Active && rule.Bad == 0 || rule.Seen.IsZero() || now.After(rule.Seen.Add(expiry)) {
			continue
		}
		decided = decided || rule.Active
		if since.IsZero() || rule.Since.Before(since) {
			since = rule.Since
		}
	}
	return since, decided
}

// Together says when failing disks are put down to what they have in common. Disks fail by themselves: of 24
// disks two fail on the same day once in five thousand years (1.5 % a year each), so that three of them
// within an hour are something else.
type Together struct {
	Least  int           // so many disks; 0: never
	Within time.Duration // so close to each other did it begin
}

// Find compares the disks of one host. A group is all disks of one controller, of one enclosure, or of the
// host. It is found when at least Least of them began to fail within the time, or all of a controller or
// enclosure with at least two; of the host it must be half. Disks that began at another time are not part of it.
// Nothing is found before at least one of the disks is decided to fail. Disks that are gone count when they
// went at the same moment: a person who pulls several takes longer.
func (t Together) Find(members []Member) []Finding {
	if t.Least <= 0 {
		return nil
	}
	groups := map[string][]Member{}
	for _, m := range members {
		if c := m.Disk.Location.Controller; c.Address != "" {
			groups["controller "+c.Address] = append(groups["controller "+c.Address], m)
		}
		if e := m.Disk.Location.Enclosure; e != "" {
			groups["enclosure "+e] = append(groups["enclosure "+e], m)
		}
	}
	groups[wholeHost] = members
	var out []Finding
	told := map[string]bool{}
	for _, scope := range slices.SortedFunc(maps.Keys(groups), narrowFirst) {
		group := groups[scope]
		cluster := t.cluster(group)
		enough := len(cluster) >= t.Least || len(cluster) == len(group) && len(group) >= 2
		if scope == wholeHost {
			enough = len(cluster) >= t.Least && 2*len(cluster) >= len(group)
		}
		if !enough || !slices.ContainsFunc(cluster, func(m Member) bool { return m.Decided }) {
			continue
		}
		f := Finding{Kind: FindingTogether, Scope: scope, Since: cluster[0].Since,
			Words:  fmt.Sprintf("%d of %d disks of %s fail together", len(cluster), len(group), scope),
			Advice: "look at controller, cables, enclosure and power before any disk; if each of them really fails by itself, raise together in [judge] of nerve.toml"}
		if scope == wholeHost {
			f.Words = fmt.Sprintf("%d of %d disks fail together", len(cluster), len(group))
		}
		news := false
		for _, m := range cluster {
			s := m.Disk.Serial()
			f.Serials = append(f.Serials, s)
			news = news || !told[s]
			told[s] = true
		}
		if news {
			slices.Sort(f.Serials)
			out = append(out, f)
		}
	}
	return out
}

const wholeHost = "host"

// narrowFirst orders scopes from the most precise one: controllers, enclosures, the host.
func narrowFirst(a, b string) int {
	rank := func(s string) int {
		switch {
		case s == wholeHost:
			return 2
		case s[0] == 'e':
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// atOnce is how close to each other disks are gone that were behind one thing. The kernel gives them up one by
// one, each after its own timeouts.
const atOnce = 10 * time.Second

// cluster is the largest set of members that began to fail, or went, together, the first of them first.
func (t Together) cluster(group []Member) []Member {
	var failing, gone []Member
	for _, m := range group {
		switch {
		case m.Since.IsZero():
		case m.Gone:
			gone = append(gone, m)
		default:
			failing = append(failing, m)
		}
	}
	a, b := closest(failing, t.Within), closest(gone, min(atOnce, t.Within))
	if len(b) > len(a) {
		return b
	}
	return a
}

// closest is the largest set of members of which no two began further apart than within.
func closest(bad []Member, within time.Duration) []Member {
	slices.SortFunc(bad, func(a, b Member) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Disk.Serial(), b.Disk.Serial()))
	})
	var best []Member
	from := 0
	for to := range bad {
		for bad[to].Since.Sub(bad[from].Since) > within {
			from++
		}
		if n := to - from + 1; n > len(best) {
			best = bad[from : to+1]
		}
	}
	return best
}

// Doubted is the verdict of a disk that is part of a finding: unknown, because what speaks against it speaks
// against something else as well.
func Doubted(v glia.Verdict, f Finding) glia.Verdict {
	v.Why = fmt.Sprintf("%s; by itself it would be %s", f.Words, v.State)
	v.State, v.Reasons = glia.StateUnknown, nil
	return v
}
