package synapse

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"glia"
)

type metrics struct {
	hosts    *prometheus.GaugeVec
	bad      *prometheus.GaugeVec
	failures prometheus.Counter
}

// newMetrics registers the metrics; a nil registerer keeps them to themselves.
func newMetrics(r prometheus.Registerer, age func() float64) *metrics {
	auto := promauto.With(r)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "glia_view_age_seconds", Help: "Time since the registry last vouched for the fleet view; 0 while there is none.",
	}, age)
	m := &metrics{
		hosts: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "glia_fleet_hosts", Help: "Hosts that the registry shows, by status.",
		}, []string{"status"}),
		bad: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "glia_fleet_disks_bad", Help: "Disks of alive hosts that need attention, by state.",
		}, []string{"state"}),
		failures: auto.NewCounter(prometheus.CounterOpts{
			Name: "glia_fetch_failures_total", Help: "Questions to nerves that got no usable answer.",
		}),
	}
	m.show(glia.FleetView{}) // every series from the start
	return m
}

// show sets the gauges to a view.
func (m *metrics) show(v glia.FleetView) {
	hosts := map[glia.MemberStatus]int{glia.MemberAlive: 0, glia.MemberLeft: 0, glia.MemberGone: 0}
	bad := map[glia.State]int{}
	for s := glia.StateUnknown; s <= glia.StateFailed; s++ {
		if s.Bad() {
			bad[s] = 0
		}
	}
	for _, h := range v.Hosts {
		hosts[h.Member.Status]++
		if h.Member.Status == glia.MemberAlive {
			countBad(bad, h)
		}
	}
	for s, n := range hosts {
		m.hosts.WithLabelValues(string(s)).Set(float64(n))
	}
	for s, n := range bad {
		m.bad.WithLabelValues(s.String()).Set(float64(n))
	}
}

// countBad counts by the detail where it is held and was read without a problem: a digest may be cut.
func countBad(bad map[glia.State]int, h glia.HostView) {
	if h.FetchedAt.IsZero() || h.Problem != "" {
		for _, b := range h.Member.Announcement.Bad {
			if b.State.Bad() {
				bad[b.State]++
			}
		}
		return
	}
	for _, d := range h.Disks {
		if s := d.Verdict.State; s.Bad() {
			bad[s]++
		}
	}
}
