package repairer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"glia"
)

// Refusal says which gate held a step back, on what figure, and what would change its mind.
type Refusal struct {
	Gate  string `json:"gate"`
	Value string `json:"value"`
	Limit string `json:"limit"`
	Until string `json:"until"`
}

func (r Refusal) String() string {
	return fmt.Sprintf("%s: %s; allowed: %s; until %s", r.Gate, r.Value, r.Limit, r.Until)
}

// The names of the gates.
const (
	GateStop       = "stop-file"
	GateBreaker    = "breaker"
	GatePause      = "pause"
	GateStorm      = "storm"
	GateWindow     = "window"
	GateProtected  = "protected"
	GateIdentity   = "identity"
	GatePlan       = "plan"
	GateFreshness  = "freshness"
	GateVerdict    = "verdict"
	GateWitnesses  = "witnesses"
	GateCohort     = "cohort"
	GateFlap       = "flap"
	GateHostBudget = "host-budget"
	GateDomain     = "domain-budget"
	GateModel      = "model-budget"
	GateFleet      = "fleet-budget"
	GateUnits      = "units-budget"
	GateMode       = "mode"
	GateApproval   = "approval"
	GateHook       = "hook"
	GateStorage    = "storage"
)

// Pause stops new acts in a scope: fleet, domain:NAME, host:NAME or disk:SERIAL.
type Pause struct {
	ID     string    `json:"id"`
	Scope  string    `json:"scope"`
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"` // zero: until resumed
}

// ParseScope checks the scope of a pause.
func ParseScope(scope string) error {
	kind, name, named := strings.Cut(scope, ":")
	if scope == "fleet" || (named && name != "" && (kind == "domain" || kind == "host" || kind == "disk")) {
		return nil
	}
	return fmt.Errorf("scope %q: want fleet, domain:NAME, host:NAME or disk:SERIAL", scope)
}

// covers says whether the pause stops acts on the disk at that time.
func (p Pause) covers(c Case, f Facts) bool {
	if !p.Until.IsZero() && !f.Now.Before(p.Until) {
		return false
	}
	if name, ok := strings.CutPrefix(p.Scope, "domain:"); ok {
		return slices.Contains(f.domainsOf(c.Host()), name)
	}
	return p.Scope == "fleet" || p.Scope == "host:"+c.Host() || p.Scope == "disk:"+c.Serial()
}

// Facts is everything that the gates look at. They read nothing else.
type Facts struct {
	Now        time.Time
	Pauses     []Pause
	Open       []Case // open cases; only those that are started count
	Past       []Past // cases that ended within the last 30 days
	Limits     Limits
	Disks      Population
	Domains    []Domain
	Pools      []Pool
	Windows    []Window
	ViewAt     time.Time // age of the fleet view
	MaxViewAge time.Duration
	Newest     time.Time    // of all that stands in the log
	OpenStates []glia.State // verdicts that justify a repair

	Storms        Storms
	StormCoolDown time.Duration
	Breaker       Breaker
	Cohorts       []Cohort
	Flap          FlapLimits
	Stop          string // why a stop file stops everything; empty: none does
	Hook          Answer

	lookup func(host string) []string // its domains; nil: by Domains
}

// halts are the gates that stop every act, of cases that are under way as well. A step that already
// runs on its host is finished there; what came of it is read when the halt is over.
var halts = []func(Case, Facts) *Refusal{gateStop, gateBreaker, gatePause}

// halted says what stops every act on the case; nil when nothing does.
func halted(c Case, f Facts) *Refusal {
	for _, g := range halts {
		if r := g(c, f); r != nil {
			return r
		}
	}
	return nil
}

// isHalt says whether the first of the refusals is by a gate that halts.
func isHalt(refusals []Refusal) bool {
	return len(refusals) > 0 && slices.Contains([]string{GateStop, GateBreaker, GatePause}, refusals[0].Gate)
}

// gates are asked before a case starts, in this order. Each is pure and returns a refusal or nil.
var gates = []func(Case, Facts) *Refusal{
	gateStop, gateBreaker, gatePause, gateStorm, gateWindow, gateProtected, gateIdentity, gatePlan, gateFreshness, gateVerdict, gateWitnesses, gateCohort, gateFlap, gateMode, gateHook,
}

// Gates asks every gate and returns all refusals, so that an operator sees at once all that is in the way.
func Gates(c Case, f Facts) []Refusal {
	var out []Refusal
	for _, g := range gates {
		if r := g(c, f); r != nil {
			out = append(out, *r)
		}
	}
	return append(out, gateBudgets(c, f)...)
}

func gatePause(c Case, f Facts) *Refusal {
	for _, p := range f.Pauses {
		if p.covers(c, f) {
			until := "glia resume --scope " + p.Scope
			if !p.Until.IsZero() {
				until = p.Until.UTC().Format(time.RFC3339) + " or " + until
			}
			return &Refusal{Gate: GatePause, Value: fmt.Sprintf("%s is paused by %s: %s", p.Scope, p.Owner, p.Reason), Limit: "nothing is paused", Until: until}
		}
	}
	return nil
}

func gateProtected(c Case, _ Facts) *Refusal {
	if c.Disk.Protected == "" {
		return nil
	}
	return &Refusal{Gate: GateProtected, Value: c.Disk.Protected, Limit: "disks that do not carry the running system", Until: "a person replaces it by hand; glia never does"}
}

func gateIdentity(c Case, _ Facts) *Refusal {
	switch {
	case c.Disk.Location.Place() == "":
		return &Refusal{Gate: GateIdentity, Value: "the kernel knows neither slot nor path of the disk", Limit: "a place that can be recognised again", Until: "the enclosure or udev names its place"}
	case c.Disk.Identity.Size == 0:
		return &Refusal{Gate: GateIdentity, Value: "the size of the disk is not known", Limit: "a known size", Until: "the host tells it"}
	}
	return nil
}

func gatePlan(c Case, _ Facts) *Refusal {
	switch {
	case c.Plan == nil:
		return &Refusal{Gate: GatePlan, Value: "no plan yet", Limit: "a plan", Until: "the disk is confirmed"}
	case c.Plan.Obstacle != "":
		return &Refusal{Gate: GatePlan, Value: c.Plan.Obstacle, Limit: "a disk that the driver " + c.Plan.Driver + " can repair", Until: "that changes"}
	}
	return nil
}

func gateFreshness(c Case, f Facts) *Refusal {
	if behind := f.Newest.Sub(f.Now); behind > f.MaxViewAge {
		return &Refusal{
			Gate: GateFreshness, Value: "the clock says " + f.Now.UTC().Format(time.RFC3339) + ", and the log knows of " + f.Newest.UTC().Format(time.RFC3339),
			Limit: "a clock that is not set back by more than " + f.MaxViewAge.String(), Until: "the clock is right, or has passed that time",
		}
	}
	if f.ViewAt.IsZero() {
		return &Refusal{Gate: GateFreshness, Value: "no fleet view yet", Limit: f.MaxViewAge.String(), Until: "a synapse answers"}
	}
	age := f.Now.Sub(f.ViewAt)
	if age > f.MaxViewAge {
		return &Refusal{Gate: GateFreshness, Value: "the fleet view is of " + f.ViewAt.UTC().Format(time.RFC3339), Limit: "not older than " + f.MaxViewAge.String(), Until: "the synapse answers again"}
	}
	if age < -f.MaxViewAge {
		return &Refusal{Gate: GateFreshness, Value: "the fleet view is of " + f.ViewAt.UTC().Format(time.RFC3339) + ", in the future", Limit: "a clock that agrees within " + f.MaxViewAge.String(), Until: "the clocks agree"}
	}
	// By the clock of its host such a verdict would outlive what it was observed for.
	if at := c.Verdict.ObservedAt; at.Sub(f.Now) > f.MaxViewAge {
		return &Refusal{Gate: GateFreshness, Value: "the verdict is of " + at.UTC().Format(time.RFC3339) + ", in the future", Limit: "a clock of " + c.Host() + " that agrees within " + f.MaxViewAge.String(), Until: "the clocks agree"}
	}
	return nil
}

func gateVerdict(c Case, f Facts) *Refusal {
	v := c.Verdict.At(f.Now)
	if slices.Contains(f.OpenStates, v.State) {
		return nil
	}
	return &Refusal{Gate: GateVerdict, Value: "the disk is " + steady(v), Limit: stateNames(f.OpenStates), Until: "the nerve says so again"}
}

// gateWitnesses asks for two classes of evidence, because handing the disk to a person can not be
// taken back. A person's approval of this very plan counts as well.
func gateWitnesses(c Case, _ Facts) *Refusal {
	if approved(c) || len(c.Verdict.Witnesses()) >= 2 || (c.Plan != nil && c.Plan.Mode != ModeAuto) {
		return nil
	}
	seen := "no evidence speaks against the disk itself"
	if w := c.Verdict.Witnesses(); len(w) > 0 {
		seen = "only " + string(w[0]) + " evidence speaks against the disk"
	}
	return &Refusal{Gate: GateWitnesses, Value: seen, Limit: "two classes of evidence, or an approval", Until: "another kind of evidence agrees, or " + approveHint(c)}
}

// steady is a verdict in words that do not change from probe to probe while the verdict stays.
func steady(v glia.Verdict) string {
	switch {
	case len(v.Reasons) > 0:
		return v.State.String() + ": " + v.Reasons[0].Words
	case v.Why != "":
		return v.State.String() + ": " + v.Why
	}
	return v.State.String()
}

func stateNames(states []glia.State) string {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = s.String()
	}
	return strings.Join(names, " or ")
}
