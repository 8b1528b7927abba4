package repairer

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"
)

// Status is what the newest look found about the fleet as a whole.
type Status struct {
	Budgets []Budget
	Breaker Breaker
	Storms  Storms
	Cases   map[Phase]int // open ones

	Undelivered Undelivered
}

func (e *Engine) statusOf(l *snapshot) Status {
	s := Status{Budgets: Budgets(l.facts), Breaker: l.facts.Breaker, Storms: l.facts.Storms, Cases: map[Phase]int{}, Undelivered: e.undelivered(l.cases)}
	for _, c := range l.cases {
		s.Cases[c.Phase]++
	}
	return s
}

// publish shows a look to the metrics.
func (e *Engine) publish(l *snapshot) {
	s := e.statusOf(l)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = s
}

// count counts refusals by their gate. It is called when the refusals of a case have changed.
func (e *Engine) count(refusals []Refusal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range refusals {
		e.refused[r.Gate]++
	}
}

var (
	descUsed      = prometheus.NewDesc("glia_budget_used", "What is in repair in a scope that has a budget.", []string{"scope"}, nil)
	descLimit     = prometheus.NewDesc("glia_budget_limit", "What may be in repair in the scope at a time.", []string{"scope"}, nil)
	descRefused   = prometheus.NewDesc("glia_gate_refusals_total", "Times that a gate began to hold a case back.", []string{"gate"}, nil)
	descBreaker   = prometheus.NewDesc("glia_breaker_state", "1 when the breaker has tripped, else 0.", nil, nil)
	descStorm     = prometheus.NewDesc("glia_storm_state", "1 for the state that a scope is in: normal, storm or cool-down. The fleet is always told, other scopes while they are not normal.", []string{"scope", "state"}, nil)
	descUntold    = prometheus.NewDesc("glia_undelivered", "What tickets must still be told.", nil, nil)
	descUntoldAge = prometheus.NewDesc("glia_undelivered_age_seconds", "How long the oldest of it has waited; 0 when there is none.", nil, nil)
	descCases     = prometheus.NewDesc("glia_cases", "Open cases.", []string{"phase"}, nil)
)

var _ prometheus.Collector = (*Engine)(nil)

// Describe is part of prometheus.Collector.
func (e *Engine) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUsed, descLimit, descRefused, descBreaker, descStorm, descCases, descUntold, descUntoldAge} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector. It tells what the newest look found and reads nothing.
func (e *Engine) Collect(ch chan<- prometheus.Metric) {
	e.mu.Lock()
	s, refused := e.status, maps.Clone(e.refused)
	e.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	for _, b := range s.Budgets {
		gauge(descUsed, float64(b.Used), b.Scope)
		gauge(descLimit, float64(b.Limit), b.Scope)
	}
	for gate, n := range refused {
		ch <- prometheus.MustNewConstMetric(descRefused, prometheus.CounterValue, float64(n), gate)
	}
	gauge(descUntold, float64(s.Undelivered.Count))
	age := 0.0
	if u := s.Undelivered; !u.Oldest.IsZero() {
		age = max(0, e.Now().Sub(u.Oldest).Seconds())
	}
	gauge(descUntoldAge, age)
	gauge(descBreaker, flag(s.Breaker.Tripped))
	gauge(descStorm, 1, ScopeFleet, string(s.Storms.fleet()))
	for scope, storm := range s.Storms {
		if scope != ScopeFleet {
			gauge(descStorm, 1, scope, string(storm.Phase))
		}
	}
	for _, p := range openPhases {
		gauge(descCases, float64(s.Cases[p]), string(p))
	}
}

var openPhases = []Phase{
	PhaseOpened, PhaseConfirming, PhaseWaiting, PhaseAwaitingApproval, PhaseDraining, PhaseDrained, PhaseReleased,
	PhaseAwaitingReplacement, PhaseInspecting, PhaseRejoining, PhaseSettling, PhaseParked,
}
