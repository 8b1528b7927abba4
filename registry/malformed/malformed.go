// Package malformed counts the hosts of a registry whose announcement can not be read in full, and names each of them in the log
// once, with what is wrong, until that changes. It passes on all that the registry tells, and fails as that does.
package malformed

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"glia"
	"glia/registry"
)

// Watcher watches a registry as before, and keeps the count. It is safe for concurrent use.
type Watcher struct {
	registry.Watcher
	name string
	log  *slog.Logger

	mu       sync.Mutex
	problems map[string]string // by host
}

var _ registry.Watcher = (*Watcher)(nil)

// New returns a watcher of w, which is called name.
func New(name string, w registry.Watcher, log *slog.Logger) *Watcher {
	return &Watcher{Watcher: w, name: name, log: log, problems: map[string]string{}}
}

// Members tells what the registry tells.
func (w *Watcher) Members(ctx context.Context) ([]glia.Member, error) {
	all, err := w.Watcher.Members(ctx)
	if err == nil {
		byHost := map[string][]glia.Member{}
		for _, m := range all {
			byHost[m.Announcement.Host] = append(byHost[m.Announcement.Host], m)
		}
		d := registry.Delta{Whole: true}
		for host, members := range byHost {
			d.Hosts = append(d.Hosts, registry.Host{Name: host, Members: members})
		}
		w.note(d)
	}
	return all, err
}

// Since tells what the registry tells.
func (w *Watcher) Since(ctx context.Context, m registry.Mark) (registry.Delta, error) {
	d, err := w.Watcher.Since(ctx, m)
	if err == nil {
		w.note(d)
	}
	return d, err
}

// note takes over what is wrong with the hosts of a delta. It may be told of a state twice, by several readers.
func (w *Watcher) note(d registry.Delta) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.problems
	if d.Whole {
		w.problems = map[string]string{}
	}
	for _, h := range d.Hosts {
		var all []string
		for _, m := range h.Members {
			if m.Problem != "" {
				all = append(all, m.Problem)
			}
		}
		problem, was := strings.Join(all, "; "), before[h.Name]
		switch {
		case problem == "":
			delete(w.problems, h.Name)
		case problem != was:
			w.log.Warn("announcement can not be read in full", "registry", w.name, "host", h.Name, "problem", problem)
			fallthrough
		default:
			w.problems[h.Name] = problem
		}
	}
}

// Hosts is how many hosts announce what can not be read in full, as of the last time that somebody read the registry.
func (w *Watcher) Hosts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.problems)
}

// Register makes the count a metric.
func (w *Watcher) Register(r prometheus.Registerer) error {
	return r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "glia_malformed_announcements", Help: "Hosts whose announcement can not be read in full, by registry.",
		ConstLabels: prometheus.Labels{"registry": w.name},
	}, func() float64 { return float64(w.Hosts()) }))
}
