package repairer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"testing"

	"glia/config/secret"
	"glia/internal/testbed"
	"glia/repairer"
	"glia/repairer/ticket/redmine"
)

// crashing stands before a Redmine, which is killed at one request.
type crashing struct {
	redmine *testbed.RedmineServer

	mu      sync.Mutex
	changes []string // requests that change something
	at      int      // number of the one at which Redmine is killed; 0 for none
	after   bool     // it is killed when it has answered, and the answer is lost
}

func (c *crashing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock() // one request at a time; others wait until Redmine is there again
	defer c.mu.Unlock()
	if r.Method != http.MethodGet {
		c.changes = append(c.changes, r.Method+" "+r.URL.Path)
	}
	dies := r.Method != http.MethodGet && len(c.changes) == c.at
	lost := func() {
		if err := c.redmine.Crash(context.WithoutCancel(r.Context())); err != nil { // who asks may give up meanwhile
			panic(err)
		}
		panic(http.ErrAbortHandler)
	}
	if dies && !c.after {
		lost()
	}
	p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: c.redmine.Addr})
	p.ModifyResponse = func(*http.Response) error {
		if dies {
			lost()
		}
		return nil
	}
	p.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	p.ServeHTTP(w, r)
}

// wholeInRedmine plays a whole repair with tickets in a project of its own, and says what Redmine then holds.
func wholeInRedmine(t *testing.T, c *crashing) string {
	t.Helper()
	front := httptest.NewServer(c)
	t.Cleanup(front.Close)
	project := c.redmine.Project(t)
	id, text := whole(t, func(o *repairer.Options) {
		tr, err := redmine.New(redmine.Options{
			URL: front.URL, Key: secret.Of(c.redmine.Key), Project: project, Type: "Support", Close: "Closed", Now: o.Now,
			Resolutions: map[string]string{"resolved": repairer.ResolutionDone, "closed": repairer.ResolutionDone, "rejected": repairer.ResolutionWontDo},
		})
		if err != nil {
			t.Fatal(err)
		}
		o.Tracker = tr
	}, func(id string) { c.redmine.SetStatus(t, id, testbed.RedmineResolved) }, func() {})
	issue, _ := c.redmine.Call(t, http.MethodGet, "/issues/"+id+".json", nil)["issue"].(map[string]any)
	status, _ := issue["status"].(map[string]any)
	return fmt.Sprintf("%d issue, %v: %s", c.redmine.Count(t, project), status["name"], text)
}

const whatRedmineHolds = `1 issue, Closed: ` + whatIsTold

// A real Redmine is killed at each request of a repair that changes something, before it has heard of it and after it has
// answered, and started again: there is one issue, with the right comments, in the right state.
func TestEngine_FilesOnceInARedmineThatDies(t *testing.T) {
	t.Parallel()
	c := &crashing{redmine: testbed.Redmine(t)}
	if got := wholeInRedmine(t, c); got != whatRedmineHolds {
		t.Fatalf("without a crash:\n%s", got)
	}
	if len(c.changes) < 6 {
		t.Fatalf("requests %q", c.changes)
	}
	for i := range c.changes {
		for _, after := range []bool{false, true} {
			if os.Getenv("KILL_ALL") == "" && (i > 0 || !after) {
				continue // it takes seconds to start again
			}
			name := map[bool]string{false: "before ", true: "after "}[after] + c.changes[i]
			t.Run(fmt.Sprintf("%d %s", i+1, name), func(t *testing.T) { //nolint:paralleltest // Redmine is shared, and dies
				if got := wholeInRedmine(t, &crashing{redmine: c.redmine, at: i + 1, after: after}); got != whatRedmineHolds {
					t.Errorf("Redmine holds\n%s", got)
				}
			})
		}
	}
}
