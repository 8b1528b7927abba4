package haproxy

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

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
		m.reloads, m.commands, m.checks = register(reg, m.reloads), register(reg, m.commands), register(reg, m.checks)
	}
	return m
}

// register is c, or what an output before this one has registered in its place.
func register[T prometheus.Collector](reg prometheus.Registerer, c T) T {
	err := reg.Register(c)
	if was := (prometheus.AlreadyRegisteredError{}); errors.As(err, &was) {
		return was.ExistingCollector.(T) //nolint:forcetypeassert // it has the same name
	}
	if err != nil {
		panic(err) // a name that can not be; a test meets it
	}
	return c
}
