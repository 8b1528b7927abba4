package repairer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"glia"
)

// StormPhase says whether so much fails together that it can not be the disks.
type StormPhase string

// The phases of a storm. The zero value counts as normal.
const (
	StormNormal   StormPhase = "normal"
	StormBlowing  StormPhase = "storm"
	StormCoolDown StormPhase = "cool-down"
)

// Storm is the weather of one scope.
type Storm struct {
	Phase StormPhase `json:"phase"`
	Why   string     `json:"why,omitempty"`
	Since time.Time  `json:"since"`
}

// Storms is the weather by scope: fleet, domain:NAME or host:NAME. A scope that is not named is calm. It
// is kept in the store.
type Storms map[string]Storm

// ScopeFleet is the scope of the whole fleet.
const ScopeFleet = "fleet"

func scopeDomain(name string) string { return "domain:" + name }
func scopeHost(name string) string   { return "host:" + name }

// over finds the storm that a host of these domains is under, or the one that is just over; the widest
// first. It is normal when there is none.
func (s Storms) over(host string, domains []string) (scope string, _ Storm) {
	scopes := []string{ScopeFleet}
	for _, d := range domains {
		scopes = append(scopes, scopeDomain(d))
	}
	found, at := Storm{Phase: StormNormal}, ""
	for _, scope := range append(scopes, scopeHost(host)) {
		if now := s[scope]; now.Phase != "" && now.Phase != StormNormal && (at == "" || now.Phase == StormBlowing && found.Phase != StormBlowing) {
			found, at = now, scope
		}
	}
	return at, found
}

// fleet is the phase of the fleet as a whole.
func (s Storms) fleet() StormPhase { return cmp.Or(s[ScopeFleet].Phase, StormNormal) }

// findings tells of each storm in one line, the widest first.
func (s Storms) findings() (out []string) {
	for _, scope := range slices.SortedFunc(maps.Keys(s), func(a, b string) int {
		return cmp.Or(cmp.Compare(min(strings.Index(a, ":"), 0), min(strings.Index(b, ":"), 0)), cmp.Compare(a, b))
	}) {
		if p := s[scope].Phase; p != "" && p != StormNormal {
			out = append(out, fmt.Sprintf("%s in %s: %s", p, scope, s[scope].Why))
		}
	}
	return out
}

// StormLimits say what a storm is, in every scope. A zero Disks or HostShare leaves that sign out.
type StormLimits struct {
	Disks     int           // more disks than this turning bad within the window; the size of the scope may allow more
	HostShare float64       // more than this share of the hosts in trouble
	Hosts     int           // fewer hosts in trouble than this are no storm, whatever their share
	CoolDown  time.Duration // from the last sign until cases may start again
}

// HostSigns are what a storm is told by on one host that has not left.
type HostSigns struct {
	Host    string
	Domains []string
	Disks   int  // that it announces
	Bad     int  // disks that turned bad within the window
	Unseen  bool // it is gone or can not be read
}

// ReadSigns reads the signs from a view. A disk whose host tells no detail counts as having turned bad
// just now, because nothing says that it did not.
func ReadSigns(view glia.FleetView, states []glia.State, window time.Duration, domains func(host string) []string, now time.Time) []HostSigns {
	var opens [glia.StateFailed + 1]bool
	for _, s := range states {
		opens[s] = true
	}
	out := make([]HostSigns, 0, len(view.Hosts))
	for _, h := range view.Hosts {
		if h.Member.Status == glia.MemberLeft {
			continue
		}
		a := h.Member.Announcement
		s := HostSigns{Host: a.Host, Domains: domains(a.Host), Disks: a.DiskCount}
		s.Unseen = h.Member.Status != glia.MemberAlive || h.Member.Problem != "" || h.Problem != ""
		if !s.Unseen && len(h.Disks) == 0 {
			for _, b := range a.Bad {
				if opens[b.State] {
					s.Bad++
				}
			}
		}
		for j := range h.Disks {
			d := &h.Disks[j]
			if d.Verdict.State == glia.StateHealthy {
				continue
			}
			if v := d.Verdict.At(now); !s.Unseen && opens[v.State] && now.Sub(turned(v)) < window {
				s.Bad++
			}
		}
		out = append(out, s)
	}
	return out
}

// turned is when a verdict came to be: when its first reason began to speak.
func turned(v glia.Verdict) time.Time {
	at := v.ObservedAt
	for _, r := range v.Reasons {
		if !r.Since.IsZero() && r.State >= v.State && r.Since.Before(at) {
			at = r.Since
		}
	}
	return at
}

// NextStorms is the weather after another look. expect is how many of so many disks may turn bad within
// the window by chance.
//
// What a smaller scope explains does not count again in a wider one: the many bad disks of one host are
// one host in trouble, and the disks of a domain in a storm are left out of what surrounds it. A wider
// scope in a storm takes in all that lies within it, so that one cause is one storm.
func NextStorms(prev Storms, l StormLimits, signs []HostSigns, expect func(disks int) int, now time.Time) Storms {
	whys, covered := suspect(l, signs, expect)
	next := Storms{}
	for scope, why := range whys {
		since := now
		if was := prev[scope]; was.Phase == StormBlowing {
			since = was.Since
		}
		next[scope] = Storm{Phase: StormBlowing, Why: why, Since: since}
	}
	for scope, was := range prev {
		_, blows := next[scope]
		switch {
		case blows, covered[scope], was.Phase == "", was.Phase == StormNormal:
		case was.Phase == StormBlowing:
			next[scope] = Storm{Phase: StormCoolDown, Why: was.Why, Since: now}
		case was.Phase == StormCoolDown && now.Sub(was.Since) >= l.CoolDown:
		default:
			next[scope] = was
		}
	}
	return next
}

// area is one scope while its signs are counted.
type area struct {
	scope string
	hosts []int // indexes of its hosts
}

// suspect finds the scopes in which more fails together than comes by chance, with the reason, and what
// lies within them.
func suspect(l StormLimits, signs []HostSigns, expect func(disks int) int) (whys map[string]string, covered map[string]bool) {
	whys, covered = map[string]string{}, map[string]bool{}
	trouble := make([]bool, len(signs)) // hosts that are one sign each, not one for each disk
	inStorm := make([]bool, len(signs)) // hosts whose trouble is explained
	fleet := area{scope: ScopeFleet}
	domains := map[string]*area{}
	for i, s := range signs {
		fleet.hosts = append(fleet.hosts, i)
		for _, d := range s.Domains {
			if domains[d] == nil {
				domains[d] = &area{scope: scopeDomain(d)}
			}
			domains[d].hosts = append(domains[d].hosts, i)
		}
		trouble[i] = s.Unseen
		if limit, beyond := l.beyond(s.Bad, s.Disks, expect); beyond {
			trouble[i] = true
			whys[scopeHost(s.Host)] = fmt.Sprintf("%d disks turned bad together, %d are credible: suspect its power, controller or backplane, or a release of the prober", s.Bad, limit)
		}
	}
	areas := slices.SortedFunc(maps.Values(domains), func(a, b *area) int {
		return cmp.Or(cmp.Compare(len(a.hosts), len(b.hosts)), cmp.Compare(a.scope, b.scope))
	})
	for _, a := range append(areas, &fleet) {
		bad, disks, lost, unseen := 0, 0, 0, 0
		for _, i := range a.hosts {
			disks += signs[i].Disks
			if trouble[i] {
				lost++
			} else if !inStorm[i] {
				bad += signs[i].Bad
			}
			if signs[i].Unseen {
				unseen++
			}
		}
		why := ""
		if limit, beyond := l.beyond(bad, disks, expect); beyond {
			why = fmt.Sprintf("%d disks turned bad together, %d are credible: suspect power, controllers or a release of the prober", bad, limit)
		}
		if l.HostShare > 0 && lost >= max(1, l.Hosts) && float64(lost) > l.HostShare*float64(len(a.hosts)) {
			why = fmt.Sprintf("%d of %d hosts are gone or can not be read", unseen, len(a.hosts))
			if lost > unseen {
				why += fmt.Sprintf(", on %d many disks turned bad together", lost-unseen)
			}
			why += ": suspect power or the network"
		}
		if why == "" {
			continue
		}
		for scope := range whys {
			if within(scope, *a, signs, domains) {
				delete(whys, scope)
			}
		}
		whys[a.scope] = why
		for _, i := range a.hosts {
			inStorm[i] = true
			covered[scopeHost(signs[i].Host)] = true
		}
		for _, d := range areas {
			if d.scope != a.scope && within(d.scope, *a, signs, domains) {
				covered[d.scope] = true
			}
		}
	}
	return whys, covered
}

// beyond says whether so many of the disks turned bad that chance does not explain it, and the limit.
func (l StormLimits) beyond(bad, disks int, expect func(disks int) int) (limit int, _ bool) {
	if l.Disks <= 0 || bad <= l.Disks {
		return l.Disks, false
	}
	limit = max(l.Disks, expect(disks))
	return limit, bad > limit
}

// within says whether all hosts of the scope are hosts of the area.
func within(scope string, a area, signs []HostSigns, domains map[string]*area) bool {
	if a.scope == ScopeFleet {
		return true
	}
	has := func(i int) bool { _, found := slices.BinarySearch(a.hosts, i); return found }
	if name, ok := strings.CutPrefix(scope, scopeDomain("")); ok {
		return !slices.ContainsFunc(domains[name].hosts, func(i int) bool { return !has(i) })
	}
	return slices.ContainsFunc(a.hosts, func(i int) bool { return scopeHost(signs[i].Host) == scope })
}

func gateStorm(c Case, f Facts) *Refusal {
	scope, s := f.Storms.over(c.Host(), f.domainsOf(c.Host()))
	switch s.Phase {
	case StormNormal:
		return nil
	case StormCoolDown:
		return &Refusal{Gate: GateStorm, Value: "a storm in " + scope + " is just over: " + s.Why, Limit: "calm for " + f.StormCoolDown.String(), Until: s.Since.Add(f.StormCoolDown).UTC().Format(time.RFC3339)}
	case StormBlowing:
		return &Refusal{Gate: GateStorm, Value: "storm in " + scope + " since " + s.Since.UTC().Format(time.RFC3339), Limit: "no more at a time than comes by chance", Until: "hosts and disks are well again, and " + f.StormCoolDown.String() + " have passed"}
	}
	return &Refusal{Gate: GateStorm, Value: "the state of the storm in " + scope + " is " + string(s.Phase) + ", which is not known", Limit: "normal", Until: "a newer repairer runs"}
}
