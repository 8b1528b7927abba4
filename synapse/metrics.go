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
	for _, s := range []glia.MemberStatus{glia.MemberAlive, glia.MemberLeft, glia.MemberGone} { // every series from the start
		m.hosts.WithLabelValues(string(s))
	}
	for s := glia.StateUnknown; s <= glia.StateFailed; s++ {
		if s.Bad() {
			m.bad.WithLabelValues(s.String())
		}
	}
	return m
}

// replace counts what a host is instead of what it was. Nil is no host.
func (m *metrics) replace(was, is *glia.HostView) {
	m.add(was, -1)
	m.add(is, 1)
}

func (m *metrics) add(h *glia.HostView, n float64) {
	if h == nil {
		return
	}
	m.hosts.WithLabelValues(string(h.Member.Status)).Add(n)
	if h.Member.Status == glia.MemberAlive {
		m.addBad(h, n)
	}
}

// addBad counts by the detail where it is held and was read without a problem: a digest may be cut.
func (m *metrics) addBad(h *glia.HostView, n float64) {
	if h.FetchedAt.IsZero() || h.Problem != "" {
		for _, b := range h.Member.Announcement.Bad {
			if b.State.Bad() {
				m.bad.WithLabelValues(b.State.String()).Add(n)
			}
		}
		return
	}
	for _, d := range h.Disks {
		if s := d.Verdict.State; s.Bad() {
			m.bad.WithLabelValues(s.String()).Add(n)
		}
	}
}
