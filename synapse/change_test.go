package synapse_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"glia/synapse"
	"glia/synapse/service"
	"glia/synapse/source"
)

// counted is a script that counts how often it was run, and says when it ends.
type counted struct {
	script
	runs, ended *atomic.Int32
}

func (c counted) Run(ctx context.Context, tell func(source.Observation)) {
	c.runs.Add(1)
	c.script.Run(ctx, tell)
	c.ended.Add(1)
}

func count() counted { return counted{make(script), new(atomic.Int32), new(atomic.Int32)} }

// running are Services that run until the end of the test.
func running(t *testing.T, o synapse.ServicesOptions) *synapse.Services {
	t.Helper()
	s, err := synapse.NewServices(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func one(name string, rules service.Rules, sources ...synapse.Origin) synapse.Watched {
	return synapse.Watched{Name: name, Combine: source.Union, Rules: rules, Sources: sources}
}

func TestServices_ChangeKeepsWhatDidNotChange(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "c")
	synctest.Test(t, func(t *testing.T) {
		out, web, db, moved := &record{}, count(), count(), count()
		origin := func(c counted, key string) synapse.Origin { return synapse.Origin{Name: key, Key: key, Source: c} }
		keep := service.Rules{KeepPrevious: true}
		s := running(t, synapse.ServicesOptions{
			CacheFile: cache, Outputs: []synapse.Output{out},
			Services: []synapse.Watched{one("web", keep, origin(web, "w")), one("db", keep, origin(db, "d"))},
		})
		change := func(err error, list ...synapse.Watched) {
			t.Helper()
			if got := s.Change(func(map[string]string) (synapse.Followable, error) {
				return synapse.Followable{Services: list, Outputs: []synapse.Output{out}}, err
			}); !errors.Is(got, err) {
				t.Errorf("change: %v", got)
			}
			synctest.Wait()
		}
		given := func(want string) {
			t.Helper()
			if got := out.take(); got != want {
				t.Errorf("given %q, want %q", got, want)
			}
		}
		web.script <- found("a b")
		synctest.Wait()
		db.script <- found("m")
		synctest.Wait()
		given("web=a,b db=m")

		change(errors.New("no"), one("web", keep))
		given("")
		change(nil, one("db", keep, origin(db, "d")), one("web", keep, origin(web, "w")))
		given("db=m web=a,b") // nothing else than before, for outputs that are new
		if web.runs.Load() != 1 || db.runs.Load() != 1 {
			t.Errorf("sources were run %d and %d times", web.runs.Load(), db.runs.Load())
		}
		change(nil, one("web", service.Rules{KeepPrevious: true, Port: 8080}, origin(web, "w")))
		given("web=a,b web=a,b") // with the other port, and to all
		if b, _, _ := s.Backends("web"); len(b) != 2 || b[0].Port != 8080 || db.ended.Load() != 1 {
			t.Errorf("%v, the source of the other service has ended %d times", b, db.ended.Load())
		}

		// Another source: its backends are used once it tells, and the old ones until then.
		change(nil, one("web", keep, origin(moved, "m")))
		given("web=a,b")
		if web.ended.Load() != 1 || moved.runs.Load() != 1 {
			t.Errorf("old source ended %d times, new one was run %d times", web.ended.Load(), moved.runs.Load())
		}
		time.Sleep(9 * time.Second)
		given("")
		moved.script <- found("c")
		synctest.Wait()
		given("web=c")

		// One that comes back knows nothing of before, and is waited for as at a start.
		fresh := count()
		change(nil, one("web", keep, origin(moved, "m")), one("db", keep, origin(fresh, "d")))
		given("web=c")
		if got := len(s.Followed()); got != 2 {
			t.Errorf("%d services are followed", got)
		}
		time.Sleep(11 * time.Second)
		given("db=")
		fresh.script <- found("m")
		synctest.Wait()
		given("db=m")
		change(nil)
		if moved.ended.Load() != 1 || fresh.ended.Load() != 1 || s.Ready() != nil {
			t.Errorf("sources go on of services that are no more: %d, %d; ready: %v", moved.ended.Load(), fresh.ended.Load(), s.Ready())
		}
	})
}

// shaper takes documents that begin with +; all together it takes only when none has an x in it.
type shaper struct {
	mu    sync.Mutex
	out   []synapse.Output
	force map[string]string
	tries int
}

func (*shaper) Judge(_, document string) (string, error) {
	if !strings.HasPrefix(document, "+") {
		return "", errors.New("bad")
	}
	return "sets " + document, nil
}

func (s *shaper) Shape(_ context.Context, documents map[string]string) ([]synapse.Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	for name, d := range documents {
		if strings.Contains(d, "x") {
			return nil, fmt.Errorf("refused because of %s", name)
		}
	}
	s.force = documents
	return s.out, nil
}

func (s *shaper) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

func (s *shaper) inForce() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, k := range slices.Sorted(maps.Keys(s.force)) {
		all = append(all, k+"="+s.force[k])
	}
	return strings.Join(all, " ")
}

// The file output and HAProxy show backends in the order of their discovery, which after a reload is that of the sources now.
func TestServices_ChangeTakesOverTheOrderOfSources(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "c")
	synctest.Test(t, func(t *testing.T) {
		out, a, b := &record{}, found("a").Backends, found("b").Backends
		origin := func(name string, list []service.Backend) synapse.Origin {
			return synapse.Origin{Name: name, Key: name, Source: source.Static(list)}
		}
		sources := [][]synapse.Origin{{origin("1", b), origin("2", a)}, {origin("3", a), origin("4", b)}, {origin("4", b), origin("3", a)}}
		s := running(t, synapse.ServicesOptions{CacheFile: cache, Outputs: []synapse.Output{out}, Services: []synapse.Watched{one("web", service.Rules{}, sources[0]...)}})
		synctest.Wait()
		for i, want := range []string{"web=b,a", "web=a,b", "web=b,a"} {
			if i > 0 {
				err := s.Change(func(map[string]string) (synapse.Followable, error) {
					return synapse.Followable{Services: []synapse.Watched{one("web", service.Rules{}, sources[i]...)}, Outputs: []synapse.Output{out}}, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if got := out.take(); got != want && !strings.HasSuffix(got, " "+want) {
				t.Errorf("given %q, want %q at last", got, want)
			}
		}
	})
}

func TestServices_SettingsOfRegistries(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "c")
	type told map[string]string // by service: "?" can not be read
	synctest.Test(t, func(t *testing.T) {
		out := &record{}
		by := &shaper{out: []synapse.Output{out}}
		scripts := map[string]script{"a": make(script), "b": make(script)}
		options := func() synapse.ServicesOptions {
			o := synapse.ServicesOptions{CacheFile: cache, Shaper: by, Outputs: []synapse.Output{out}}
			for _, name := range []string{"a", "b"} {
				o.Services = append(o.Services, one(name, service.Rules{KeepPrevious: true}, synapse.Origin{Name: "s", Key: name, Settings: true, Source: scripts[name]}))
			}
			return o
		}
		s, err := synapse.NewServices(options())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		tell := func(x told) {
			for _, name := range slices.Sorted(maps.Keys(x)) {
				o := found(name)
				if o.Settings.Document = x[name]; x[name] == "?" {
					o.Settings = source.Settings{Problem: "not for you"}
				}
				scripts[name] <- o
			}
			synctest.Wait()
		}
		problems := func() string {
			var all []string
			for _, f := range s.Followed() {
				all = append(all, f.SettingsProblem)
			}
			return strings.Join(all, "|")
		}
		for _, step := range []struct {
			told            told
			force, problems string
		}{
			{told{"a": "+1"}, "a=+1", "|"},
			{told{"b": ""}, "a=+1", "|"},
			{told{"b": "+2"}, "a=+1 b=+2", "|"},
			{told{"a": "bad"}, "a=+1 b=+2", "bad|"},
			{told{"a": "+1"}, "a=+1 b=+2", "|"},
			{told{"a": "+x"}, "a=+1 b=+2", "refused because of a|"},
			{told{"b": "+3"}, "a=+1 b=+3", "refused because of a|"}, // one that is bad keeps no other back
			{told{"a": "?"}, "a=+1 b=+3", "refused because of a|"},
			{told{"a": " "}, "b=+3", "|"},
			{told{"b": "?"}, "b=+3", "|not for you"},
			{told{"a": "+4", "b": "+3"}, "a=+4 b=+3", "|"},
			{told{"a": "+x", "b": "+x"}, "a=+4 b=+3", "refused because of a|refused because of b"},
			{told{"a": "bad"}, "a=+4 b=+3", "bad|refused because of b"},
		} {
			tell(step.told)
			if force, p := by.inForce(), problems(); force != step.force || p != step.problems {
				t.Errorf("%v: in force %q and %q, want %q and %q", step.told, force, p, step.force, step.problems)
			}
		}
		if got := out.take(); !strings.HasPrefix(got, "a=a b=b") && !strings.HasPrefix(got, "a=a a=a b=b") {
			t.Errorf("given %q", got)
		}
		// What HAProxy refused is tried again, as it may have been for another reason; what can not be is not.
		before := by.tried()
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := by.tried() - before; n != 1 {
			t.Errorf("%d tries within a minute, want 1", n)
		}
		if err := s.SettingsProblem(); s.Ready() != nil || err == nil || !strings.HasPrefix(err.Error(), "service a: settings are put aside: bad\nservice b: ") {
			t.Errorf("ready: %v, settings: %v", s.Ready(), err)
		}
		cancel()
		<-done

		// The next start knows what was good.
		var kept map[string]string
		o := options()
		o.Services = nil
		s, err = synapse.NewServices(o)
		if err == nil {
			err = s.Change(func(settings map[string]string) (synapse.Followable, error) {
				kept = settings
				return synapse.Followable{Services: options().Services, Outputs: o.Outputs, Settings: settings}, nil
			})
		}
		if err != nil || !maps.Equal(kept, map[string]string{"a": "+4", "b": "+3"}) || s.Followed()[0].Settings != "sets +4" {
			t.Errorf("%v, %v, %+v", kept, err, s.Followed())
		}
	})
}

// TestServices_FirstSettingsComeBeforeBackends would render a service twice otherwise.
func TestServices_FirstSettingsComeBeforeBackends(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "c")
	synctest.Test(t, func(t *testing.T) {
		out := &record{}
		by := &shaper{out: []synapse.Output{out}}
		web := make(script)
		running(t, synapse.ServicesOptions{
			CacheFile: cache, Shaper: by, Outputs: []synapse.Output{ordered{out, by}},
			Services: []synapse.Watched{one("web", service.Rules{}, synapse.Origin{Name: "s", Key: "s", Settings: true, Source: web})},
		})
		o := found("a")
		o.Settings.Document = "+1"
		web <- o
		synctest.Wait()
		if got := out.take(); got != "web=a" {
			t.Errorf("given %q", got)
		}
	})
}

// ordered wants settings in force before the first backends.
type ordered struct {
	*record
	by *shaper
}

func (o ordered) Set(name string, backends []service.Backend) {
	if o.by.inForce() == "" {
		name += " without settings"
	}
	o.record.Set(name, backends)
}
