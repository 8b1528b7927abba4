package program_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/config"
	"glia/config/secret"
	"glia/internal/testbed"
	"glia/repairer/notify"
)

// wall is what an incoming webhook of Slack shows.
type wall struct {
	mu    sync.Mutex
	lines []string
	down  string // path that nothing is taken at
}

func (w *wall) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.URL.Path == w.down {
		http.Error(out, "down", http.StatusServiceUnavailable)
		return
	}
	w.lines = append(w.lines, string(b))
	_, _ = io.WriteString(out, "ok")
}

func (w *wall) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.lines, "\n")
}

func (w *wall) until(t *testing.T, want string) {
	t.Helper()
	limit, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(w.text(), want) {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("nobody says %q; the wall says:\n%s", want, w.text())
		}
	}
}

// counted waits until a metric is as wanted.
func (o one) counted(t *testing.T, want string) {
	t.Helper()
	limit, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if r, err := http.Get(o.url + "/metrics"); err == nil {
			b, _ := io.ReadAll(r.Body)
			if _ = r.Body.Close(); strings.Contains(string(b), want) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("the metrics have no %s", want)
		}
	}
}

// People are told what the log says, once over restarts, and a sink that is down keeps nothing from going on.
func TestRepairer_TellsPeople(t *testing.T) {
	t.Parallel()
	w := &wall{}
	web := httptest.NewServer(w)
	t.Cleanup(web.Close)
	hook := filepath.Join(t.TempDir(), "hook")
	address := func(path string) {
		t.Helper()
		if err := os.WriteFile(hook, []byte(web.URL+path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address("/first")
	db := filepath.Join(t.TempDir(), "db")
	told := func(c *config.Repairer) {
		c.Notify = []config.Notify{{Name: "wall", Kind: config.NotifySlackWebhook, Webhook: secret.MustParse(hook), Severity: "info", Zone: "UTC"}}
	}
	pause := func(o one, scope string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := o.api.Pause(ctx, connect.NewRequest(&gliav1.PauseRequest{Scope: scope, Owner: "ann", Reason: "power work on " + scope})); err != nil {
			t.Fatal(err)
		}
	}
	o := start(t, db, told)
	o.counted(t, `glia_notices_pending{sink="wall"} 0`) // a sink that is new is told of what happens from then on
	pause(o, "host:node-1")
	w.until(t, "power work on host:node-1")
	o.counted(t, `glia_notices_total{sink="wall"} 1`)
	w.mu.Lock()
	w.down = "/first" // for good: what is under way at the end of the first repairer is not taken later
	w.mu.Unlock()
	pause(o, "host:node-2")
	o.stop()
	address("/second")
	o = start(t, db, told)
	w.until(t, "power work on host:node-2")
	pause(o, "host:node-3")
	w.until(t, "power work on host:node-3")
	for _, host := range []string{"node-1", "node-2", "node-3"} {
		if n := strings.Count(w.text(), "power work on host:"+host); n != 1 {
			t.Errorf("%s was told %d times:\n%s", host, n, w.text())
		}
	}
}

// A repairer that stands by tells people that nobody leads, which no leader can.
func TestRepairer_TellsThatNobodyLeads(t *testing.T) {
	t.Parallel()
	w := &wall{}
	web := httptest.NewServer(w)
	t.Cleanup(web.Close)
	hook := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(hook, []byte(web.URL+"/services/x"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "postgres://glia@"+testbed.Addr(t)+"/glia?sslmode=disable", func(c *config.Repairer) {
		c.Lease = config.Lease{TTL: config.Duration(2 * time.Second), Renew: config.Duration(500 * time.Millisecond)}
		c.Notify = []config.Notify{{Name: "wall", Kind: config.NotifySlackWebhook, Webhook: secret.MustParse(hook), Severity: "critical", Zone: "UTC", Quiet: "00:00-23:59"}}
	})
	w.until(t, "NOBODY LEADS since ")
	w.until(t, "what elects does not answer; database: ask database glia on 127.0.0.1 who leads")
}

func TestNotify_KnowsTheSameWordsAsTheConfiguration(t *testing.T) {
	t.Parallel()
	if !slices.Equal(config.NotifyEvents, notify.Events) {
		t.Errorf("events: %v in the configuration, %v in notices", config.NotifyEvents, notify.Events)
	}
	for i, name := range config.NotifySeverities {
		if s, ok := notify.ParseSeverity(name); !ok || int(s) != i || s.String() != name {
			t.Errorf("severity %s is %v", name, s)
		}
	}
}
