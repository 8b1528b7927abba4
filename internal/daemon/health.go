package daemon

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// starting is why a check that has not been reported yet is not ready.
const starting = "starting"

// Health knows what a daemon still waits for. It is safe for concurrent use, and is a
// prometheus.Collector of glia_ready.
type Health struct {
	log  *slog.Logger
	desc *prometheus.Desc

	mu      sync.Mutex
	names   []string          // in the order in which they were first named
	reasons map[string]string // empty: ready
}

// Check is one entry of Health: ready when the reason is empty.
type Check struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
}

// NewHealth names the checks that must be ready before the daemon is. None is until it was reported.
func NewHealth(log *slog.Logger, names ...string) *Health {
	h := &Health{
		log: log, names: slices.Clone(names), reasons: map[string]string{},
		desc: prometheus.NewDesc("glia_ready", "1 when the check is ready, 0 when it is not.", []string{"check"}, nil),
	}
	for _, n := range names {
		h.reasons[n] = starting
	}
	return h
}

// Ready reports a check: ready with an empty reason, not ready with any other. A change from one to the
// other is logged; a change of the reason alone is not, as it may hold figures that change all the time.
func (h *Health) Ready(name, reason string) {
	h.mu.Lock()
	was, known := h.reasons[name]
	if !known {
		h.names = append(h.names, name)
		was = starting
	}
	h.reasons[name] = reason
	h.mu.Unlock()
	switch {
	case was != "" && reason == "":
		h.log.Info("ready", "check", name)
	case was == "" && reason != "":
		h.log.Warn("not ready", "check", name, "reason", reason)
	}
}

// Checks is the present state. With no check at all there is one that is not ready, because nothing
// is known.
func (h *Health) Checks() (ready bool, checks []Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ready = true
	for _, n := range h.names {
		checks = append(checks, Check{n, h.reasons[n]})
		ready = ready && h.reasons[n] == ""
	}
	if checks == nil {
		return false, []Check{{"daemon", starting}}
	}
	return ready, checks
}

// Live answers that the process serves requests. It is for /healthz.
func (h *Health) Live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// ServeHTTP answers 200 when every check is ready and 503 otherwise, with one line for each check or,
// asked with ?format=json, {"ready": …, "checks": […]}. It is for /readyz.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ready, checks := h.Checks()
	status, kind := http.StatusOK, "text/plain; charset=utf-8"
	var body []byte
	if !ready {
		status = http.StatusServiceUnavailable
	}
	if r.URL.Query().Get("format") == "json" {
		kind = "application/json"
		body, _ = json.Marshal(struct {
			Ready  bool    `json:"ready"`
			Checks []Check `json:"checks"`
		}{ready, checks}) // strings and a boolean can always be written
		body = append(body, '\n')
	} else {
		var b strings.Builder
		for _, c := range checks {
			state := "ready"
			if c.Reason != "" {
				state = "not ready: " + c.Reason
			}
			fmt.Fprintf(&b, "%s: %s\n", c.Name, state)
		}
		body = []byte(b.String())
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// Describe is part of prometheus.Collector.
func (h *Health) Describe(ch chan<- *prometheus.Desc) { ch <- h.desc }

// Collect is part of prometheus.Collector.
func (h *Health) Collect(ch chan<- prometheus.Metric) {
	_, checks := h.Checks()
	for _, c := range checks {
		v := 0.0
		if c.Reason == "" {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, v, c.Name)
	}
}

var _ prometheus.Collector = (*Health)(nil)
