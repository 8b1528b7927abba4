package redmine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glia"
	"glia/config/secret"
	"glia/internal/testbed"
	"glia/repairer"
	"glia/repairer/ticket/redmine"
	"glia/repairer/ticket/tickettest"
)

// site is a real Redmine with a front that can lose answers.
type site struct {
	*testbed.RedmineServer
	url string

	mu   sync.Mutex
	lose string // method and words in the path of the request whose answer is lost, for one project
}

func start(t *testing.T) *site { return before(t, testbed.Redmine(t)) }

// before puts a front of its own before Redmine.
func before(t *testing.T, r *testbed.RedmineServer) *site {
	s := &site{RedmineServer: r}
	s.url = s.front(t, &url.URL{Scheme: "http", Host: r.Addr})
	return s
}

// front stands before Redmine; its answers are lost as s.lose says.
func (s *site) front(t *testing.T, to *url.URL) string {
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if method, path, ok := strings.Cut(s.lose, " "); ok && r.Request.Method == method && strings.Contains(r.Request.URL.Path, path) {
				s.lose = ""
				return errors.New("lost")
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	f := httptest.NewServer(p)
	t.Cleanup(f.Close)
	return f.URL
}

func (s *site) options(project string) redmine.Options {
	return redmine.Options{URL: s.url, Key: secret.Of(s.Key), Project: project, Type: "Support", Close: "Closed", Now: time.Now, Resolutions: map[string]string{
		"resolved": repairer.ResolutionDone, "closed": repairer.ResolutionDone, "rejected": repairer.ResolutionWontDo,
		"duplicate": repairer.ResolutionDuplicate, "not reproducible": repairer.ResolutionCannotReproduce,
	}}
}

func open(t *testing.T, o redmine.Options) *redmine.Tracker {
	t.Helper()
	tr, err := redmine.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

var statuses = map[string]int{
	repairer.ResolutionDone: testbed.RedmineResolved, repairer.ResolutionWontDo: testbed.RedmineRejected,
	repairer.ResolutionDuplicate: testbed.RedmineDuplicate, repairer.ResolutionCannotReproduce: testbed.RedmineNotReproducible,
}

// One Redmine serves all tests of a real one, because it takes seconds to start.
func TestTracker_Real(t *testing.T) {
	t.Parallel()
	s := start(t)
	t.Run("keeps the contract", func(t *testing.T) {
		t.Parallel()
		tickettest.Run(t, func(t *testing.T) tickettest.Bed {
			own := before(t, s.RedmineServer)
			o := own.options(s.Project(t))
			return tickettest.Bed{
				Tracker:  prefixed{open(t, o), o.Project},
				Restart:  func(t *testing.T) repairer.Tracker { return prefixed{open(t, o), o.Project} },
				Answer:   func(t *testing.T, id, resolution string) { own.SetStatus(t, id, statuses[resolution]) },
				Count:    func(t *testing.T) int { return own.Count(t, o.Project) },
				Attached: func(t *testing.T, id string) []string { return own.attached(t, id) },
				Lose: func(_ *testing.T, method string) {
					own.mu.Lock()
					defer own.mu.Unlock()
					own.lose = map[string]string{"File": "POST /issues", "Attach": "PUT /issues"}[method]
					if own.lose == "" {
						own.lose = "PUT /issues"
					}
				},
			}
		})
	})
	for name, part := range map[string]func(*testing.T, *site){
		"finds what does not fit at the start": findsMisfits, "reads many states at once": readsMany,
		"says when the workflow refuses": tellsWorkflow, "waits after a lost creation": waits, "takes no wrong key": wrongKey,
		"finds an issue that was moved or copied": moved, "uses what the site wants": wants,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); part(t, s) })
	}
}

// prefixed makes the keys of one part of the contract others than those of the rest: a key is searched for in the whole Redmine.
type prefixed struct {
	repairer.Tracker
	with string
}

func (p prefixed) Find(ctx context.Context, key string) (string, error) {
	return p.Tracker.Find(ctx, p.with+key)
}

func (p prefixed) File(ctx context.Context, key string, tk repairer.Ticket) (string, error) {
	return p.Tracker.File(ctx, p.with+key, tk)
}

// attached are the contents of the files of an issue, oldest first.
func (s *site) attached(t *testing.T, id string) (out []string) {
	t.Helper()
	issue := s.Call(t, "GET", "/issues/"+id+".json?include=attachments", nil)["issue"].(map[string]any) //nolint:forcetypeassert // Redmine's own
	for _, a := range issue["attachments"].([]any) {                                                    //nolint:forcetypeassert // Redmine's own
		at := a.(map[string]any) //nolint:forcetypeassert // Redmine's own
		r, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("http://%s/attachments/download/%v/%s", s.Addr, at["id"], at["filename"]), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Redmine-API-Key", s.Key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(answer.Body)
		if closed := answer.Body.Close(); err != nil || closed != nil {
			t.Fatal(err, closed)
		}
		out = append(out, string(b))
	}
	return out
}

func file(t *testing.T, tr *redmine.Tracker, key string) string {
	t.Helper()
	id, err := tr.File(t.Context(), key, repairer.Ticket{Case: "c1", Title: "Replace disk S1", Body: "body"})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func findsMisfits(t *testing.T, s *site) {
	project := s.Project(t)
	for want, change := range map[string]func(*redmine.Options){
		"": func(*redmine.Options) {},
		"there is no project nowhere, or the user of the key may not see it": func(o *redmine.Options) { o.Project = "nowhere" },
		`the project has no tracker "Swap"; it has Bug, Feature, Support`:    func(o *redmine.Options) { o.Type = "Swap" },
		`there is no status "Over"; there are New, In Progress`:              func(o *redmine.Options) { o.Close = "Over" },
		`can not be closed with status "Feedback"`:                           func(o *redmine.Options) { o.Close = "Feedback" },
		`can not be given back with status "Rejected"`:                       func(o *redmine.Options) { o.Reopen = "Rejected" },
		`there is no priority "Soon"; there are Low, Normal`:                 func(o *redmine.Options) { o.Priority = "Soon" },
		`"Ann" is no member of the project; its members are none`:            func(o *redmine.Options) { o.Assignee = "Ann" },
	} {
		o := s.options(project)
		change(&o)
		err := open(t, o).Check(t.Context())
		var wrong *redmine.Mismatch
		if want == "" && err != nil || want != "" && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func readsMany(t *testing.T, s *site) {
	tr := open(t, s.options(s.Project(t)))
	one, two, three := file(t, tr, "many/1"), file(t, tr, "many/2"), file(t, tr, "many/3")
	s.SetStatus(t, two, testbed.RedmineRejected)
	s.SetStatus(t, three, testbed.RedmineLocked)
	list, err := tr.Statuses(t.Context(), []string{one, two, three, "999999", "t1"})
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, tk := range list {
		want := map[string][2]string{one: {repairer.TicketOpen, ""}, two: {repairer.TicketResolved, repairer.ResolutionWontDo}, three: {repairer.TicketResolved, "Locked"}}[tk.ID]
		if tk.Status != want[0] || tk.Resolution != want[1] || tk.UpdatedAt.IsZero() {
			t.Errorf("%+v, want %v", tk, want)
		}
	}
}

func tellsWorkflow(t *testing.T, s *site) {
	tr := open(t, s.options(s.Project(t)))
	id := file(t, tr, "workflow/c1/ticket")
	s.SetStatus(t, id, testbed.RedmineLocked)
	err := tr.Reopen(t.Context(), "k/1", id, "the place is empty")
	if err == nil || !strings.Contains(err.Error(), `the workflow does not let glia change status "Locked" to "New"`) {
		t.Error(err)
	}
	if tk, err := tr.Ticket(t.Context(), id); err != nil || len(tk.Comments) > 0 {
		t.Errorf("%+v, %v", tk, err)
	}
}

// Redmine may still work on a creation whose answer was lost: it is not repeated before that is over.
func waits(t *testing.T, s *site) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	o := s.options(s.Project(t))
	o.Settle, o.Now = 30*time.Second, func() time.Time { return now }
	away := &gate{to: http.DefaultTransport}
	o.Transport = away
	tr := open(t, o)
	now = now.Add(time.Minute)
	away.swallow = true
	tk := repairer.Ticket{Case: "c1", Title: "Replace disk S1", Body: "body"}
	if _, err := tr.File(t.Context(), "lost/c1/ticket", tk); err == nil {
		t.Fatal("a request that was swallowed succeeded")
	}
	away.swallow = false
	if _, err := tr.File(t.Context(), "lost/c1/ticket", tk); err == nil || !strings.Contains(err.Error(), "sure only after 2026-03-01T12:01:30Z") {
		t.Errorf("repeated at once: %v", err)
	}
	now = now.Add(31 * time.Second)
	file(t, tr, "lost/c1/ticket")
}

// gate swallows creations.
type gate struct {
	to      http.RoundTripper
	swallow bool
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.swallow && r.Method == "POST" {
		return nil, errors.New("swallowed")
	}
	return g.to.RoundTrip(r)
}

func wrongKey(t *testing.T, s *site) {
	o, asked := s.options("any"), 0
	o.Key = secret.Of(strings.Repeat("0", 40))
	o.Transport = counter{&asked}
	tr := open(t, o)
	for range 3 {
		if err := tr.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "Redmine does not take this key") || strings.Contains(err.Error(), o.Key.Reveal()) {
			t.Error(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

type counter struct{ n *int }

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	*c.n++
	return http.DefaultTransport.RoundTrip(r)
}

func moved(t *testing.T, s *site) {
	first, second := s.Project(t), s.Project(t)
	tr := open(t, s.options(first))
	id := file(t, tr, "k/"+first+"/ticket")
	tk, err := tr.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	other := s.Call(t, "GET", "/projects/"+second+".json", nil)["project"].(map[string]any)["id"]                                             //nolint:forcetypeassert // Redmine's own
	text := s.Call(t, "GET", "/issues/"+id+".json", nil)["issue"].(map[string]any)["description"]                                             //nolint:forcetypeassert // Redmine's own
	s.Call(t, "POST", "/issues.json", map[string]any{"issue": map[string]any{"project_id": first, "subject": tk.Title, "description": text}}) // a copy
	s.Call(t, "PUT", "/issues/"+id+".json", map[string]any{"issue": map[string]any{"project_id": other}})
	if again := file(t, tr, "k/"+first+"/ticket"); again != id {
		t.Errorf("found %s, want %s", again, id)
	}
}

func wants(t *testing.T, s *site) {
	o := s.options(s.Project(t))
	s.Call(t, "POST", "/projects/"+o.Project+"/memberships.json", map[string]any{"membership": map[string]any{"user_id": 1, "role_ids": []int{3}}})
	o.Priority, o.Assignee, o.Reopen = "urgent", "Redmine Admin", "In Progress"
	tr := open(t, o)
	id := file(t, tr, "wants/c1/ticket")
	s.SetStatus(t, id, testbed.RedmineResolved)
	if err := tr.Reopen(t.Context(), "k/1", id, "the place is empty"); err != nil {
		t.Fatal(err)
	}
	issue := s.Call(t, "GET", "/issues/"+id+".json", nil)["issue"].(map[string]any) //nolint:forcetypeassert // Redmine's own
	var got []string
	for _, k := range []string{"tracker", "priority", "assigned_to", "status"} {
		part, _ := issue[k].(map[string]any)
		got = append(got, fmt.Sprint(part["name"]))
	}
	if !slices.Equal(got, []string{"Support", "Urgent", "Redmine Admin", "In Progress"}) {
		t.Errorf("%q", got)
	}
}

func TestTracker_AnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status     int
		kind, body string
		want       string
		missing    bool
	}{
		"login page":          {200, "text/html", "<html>", "this is a login page or a proxy", false},
		"redirect":            {302, "text/html", "", "Redmine redirects", false},
		"proxy's own":         {404, "text/html", "<html>nginx", "404 Not Found", false},
		"no such issue":       {404, "application/json", "", "404 Not Found", true},
		"may not":             {403, "application/json", "", "the user of the key may not do that", false},
		"not valid":           {422, "application/json", `{"errors":["Rack cannot be blank","Bay is invalid"]}`, "Rack cannot be blank; Bay is invalid", false},
		"later":               {503, "text/html", "busy", "asked again after", false},
		"JSON that is none":   {200, "application/json", `{"issue":`, "json decode error", false},
		"other than a ticket": {200, "application/json", `{"issue":[1]}`, "decode", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				w.Header().Set("Retry-After", "5")
				w.Header().Set("Location", "/login")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			t.Cleanup(s.Close)
			tr := open(t, redmine.Options{URL: s.URL, Key: secret.Of("secret"), Project: "p", Type: "Bug", Close: "Closed", Now: time.Now})
			err := tr.Comment(t.Context(), "k", "7", "text")
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "glia-redmine") {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if errors.Is(err, glia.ErrNotFound) != tt.missing {
				t.Errorf("missing: %v", err)
			}
		})
	}
}
