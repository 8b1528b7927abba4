package synapse_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"glia/synapse"
	"glia/synapse/service"
	"glia/synapse/source"
)

// script is a source that tells what a test sends.
type script chan source.Observation

func (s script) Run(ctx context.Context, tell func(source.Observation)) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-s:
			tell(o)
		}
	}
}

// record is an output that keeps what it was given.
type record struct {
	mu    sync.Mutex
	given []string
}

func (r *record) Set(name string, backends []service.Backend) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var hosts []string
	for _, b := range backends {
		hosts = append(hosts, b.Host)
	}
	r.given = append(r.given, fmt.Sprintf("%s=%s", name, strings.Join(hosts, ",")))
}
func (*record) Problem() error { return nil }
func (r *record) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := strings.Join(r.given, " ")
	r.given = nil
	return out
}

func found(hosts string) (o source.Observation) {
	for h := range strings.FieldsSeq(hosts) {
		o.Backends = append(o.Backends, service.Backend{Host: h, Port: 1})
	}
	return o
}

// follow starts services with one source each.
func follow(t *testing.T, cache string, out *record, sources map[string][]source.Source, combine source.Combine) (s *synapse.Services, stop func()) {
	t.Helper()
	var all []synapse.Watched
	for name, list := range sources {
		w := synapse.Watched{Name: name, Combine: combine, Rules: service.Rules{KeepPrevious: true}}
		for i, src := range list {
			w.Sources = append(w.Sources, synapse.Origin{Name: fmt.Sprintf("source %d", i+1), Source: src})
		}
		all = append(all, w)
	}
	s, err := synapse.NewServices(synapse.ServicesOptions{Services: all, Outputs: []synapse.Output{out}, CacheFile: cache})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	return s, func() { cancel(); <-done }
}

func TestServices_KeepBackendsOverARestartWithoutRegistry(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "services.json")
	synctest.Test(t, func(t *testing.T) {
		out, web := &record{}, make(script)
		s, stop := follow(t, cache, out, map[string][]source.Source{"web": {web}}, source.Union)
		if got := out.take(); got != "" {
			t.Errorf("given before anything is known: %s", got)
		}
		for _, step := range []struct{ hosts, want string }{{"a b", "web=a,b"}, {"b a", ""}, {"b", "web=b"}, {"", ""}} {
			web <- found(step.hosts)
			synctest.Wait()
			if got := out.take(); got != step.want {
				t.Errorf("%q: given %q, want %q", step.hosts, got, step.want)
			}
		}
		web <- source.Observation{Err: errors.New("away")}
		synctest.Wait()
		if err := s.Ready(); out.take() != "" || err == nil || !strings.Contains(err.Error(), "service web: away") {
			t.Errorf("ready: %v", err)
		}
		time.Sleep(10 * time.Minute)
		web <- found("b")
		synctest.Wait()
		if got := out.take(); got != "" || s.Ready() != nil {
			t.Errorf("after ten minutes without registry: given %q, ready: %v", got, s.Ready())
		}
		stop()

		// The next start knows the backends before any source answers, and waits some time for a service that is new.
		s, stop = follow(t, cache, out, map[string][]source.Source{"web": {web}, "new": {make(script)}}, source.Union)
		defer stop()
		if got := out.take(); got != "web=b" {
			t.Errorf("given at the start: %q", got)
		}
		time.Sleep(9 * time.Second)
		if got := out.take(); got != "" {
			t.Errorf("given too early: %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := out.take(); got != "new=" {
			t.Errorf("given after waiting: %q", got)
		}
		if b, why, _ := s.Backends("web"); len(b) != 1 || why != service.Previous {
			t.Errorf("%v, %s", b, why)
		}
	})
}

func TestServices_TakeNothingAwayWhileASourceIsSilentAfterAStart(t *testing.T) {
	t.Parallel()
	for combine, want := range map[source.Combine]string{source.Union: "web=a,b web=a,c", source.Fallback: "web=a web=c", source.Sequential: "web=a web=c"} {
		cache := filepath.Join(t.TempDir(), "c")
		synctest.Test(t, func(t *testing.T) {
			out, first, second := &record{}, make(script), make(script)
			sources := map[string][]source.Source{"web": {first, second}}
			_, stop := follow(t, cache, out, sources, combine)
			first <- found("a")
			second <- found("b")
			synctest.Wait()
			given := out.take()
			stop()

			_, stop = follow(t, cache, out, sources, combine)
			defer stop()
			first <- source.Observation{Err: errors.New("not connected yet")}
			second <- found("c")
			synctest.Wait()
			if got := out.take(); got != given {
				t.Errorf("%s: given %q at the start, want %q as before", combine, got, given)
			}
			time.Sleep(11 * time.Second)
			if got := given + " " + out.take(); got != want {
				t.Errorf("%s: given %q, want %q", combine, got, want)
			}
		})
	}
}

func TestServices_ReadyNamesFewOfManyServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sources := map[string][]source.Source{}
		for i := range 7 {
			sources[fmt.Sprint("s", i)] = []source.Source{make(script)}
		}
		s, stop := follow(t, filepath.Join(t.TempDir(), "c"), &record{}, sources, source.Union)
		defer stop()
		if err := s.Ready(); err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.HasSuffix(err.Error(), " and 2 more: it has told nothing yet") {
			t.Errorf("ready: %v", err)
		}
	})
}

func TestServices_SeveralSources(t *testing.T) {
	t.Parallel()
	for combine, want := range map[source.Combine]string{
		source.Union: "web=a,b web=a2,b", source.Fallback: "web=a web=a2 web=b web=a2", source.Sequential: "web=a web=a2 web=b web=a2",
	} {
		cache := filepath.Join(t.TempDir(), "c")
		synctest.Test(t, func(t *testing.T) {
			out, first, second := &record{}, make(script), make(script)
			_, stop := follow(t, cache, out, map[string][]source.Source{"web": {first, second}}, combine)
			defer stop()
			first <- found("a")
			synctest.Wait()
			second <- found("b")
			synctest.Wait()
			first <- found("a2")
			synctest.Wait()
			first <- source.Observation{Err: errors.New("away")}
			synctest.Wait()
			first <- found("a2")
			synctest.Wait()
			if got := out.take(); got != want {
				t.Errorf("%s: given %q, want %q", combine, got, want)
			}
		})
	}
}
