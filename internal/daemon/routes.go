package daemon

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"glia"
)

// NewRegistry is a registry with the figures of the Go runtime and of the process, and with
// glia_build_info.
func NewRegistry() *prometheus.Registry {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "glia_build_info",
		Help:        "Always 1; the label is the version.",
		ConstLabels: prometheus.Labels{"version": glia.Version},
	})
	build.Set(1)
	reg := prometheus.NewRegistry()
	reg.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// Routes adds /healthz, /readyz and /metrics to mux, and the health to the metrics. It is called once
// for one registry.
func Routes(mux *http.ServeMux, health *Health, reg *prometheus.Registry) {
	reg.MustRegister(health)
	mux.HandleFunc("GET /healthz", health.Live)
	mux.Handle("GET /readyz", health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
}
