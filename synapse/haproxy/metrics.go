package haproxy

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	reloads  *prometheus.CounterVec
	commands *prometheus.CounterVec
	checks   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "glia_haproxy_reloads_total", Help: "Reloads of HAProxy by their result: done or failed.",
		}, []string{"result"}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "glia_haproxy_commands_total", Help: "Commands of the runtime API by their result: done, refused or failed.",
		}, []string{"result"}),
		checks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "glia_haproxy_refused_files_total", Help: "Configuration files that were not put in place.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.reloads, m.commands, m.checks)
	}
	return m
}
