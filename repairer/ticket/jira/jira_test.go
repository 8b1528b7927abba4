package jira_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/config/secret"
	"glia/repairer"
	"glia/repairer/ticket/jira"
	"glia/repairer/ticket/jira/jiratest"
	"glia/repairer/ticket/tickettest"
)

func options(s *jiratest.Server) jira.Options {
	return jira.Options{
		URL: s.URL, User: "glia", Secret: secret.Of("secret"), Project: jiratest.Project, Type: "Task", CloseAs: "Done", Now: time.Now,
		Resolutions: map[string]string{"done": repairer.ResolutionDone, "won't do": repairer.ResolutionWontDo, "duplicate": repairer.ResolutionDuplicate, "cannot reproduce": repairer.ResolutionCannotReproduce},
	}
}

func open(t *testing.T, o jira.Options) *jira.Tracker {
	t.Helper()
	tr, err := jira.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

var people = map[string]string{repairer.ResolutionDone: "Done", repairer.ResolutionWontDo: "Won't Do", repairer.ResolutionDuplicate: "Duplicate", repairer.ResolutionCannotReproduce: "Cannot Reproduce"}

func TestTracker_KeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]jiratest.Options{"Server": {}, "Server before 9": {OldMeta: true}, "Cloud": {Cloud: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tickettest.Run(t, func(t *testing.T) tickettest.Bed {
				s := jiratest.Start(t, o)
				return tickettest.Bed{
					Tracker:  open(t, options(s)),
					Restart:  func(t *testing.T) repairer.Tracker { return open(t, options(s)) },
					Answer:   func(_ *testing.T, id, resolution string) { s.Resolve(id, people[resolution]) },
					Count:    func(*testing.T) int { return s.Count() },
					Attached: func(_ *testing.T, id string) []string { return s.Attached(id) },
					Lose: func(_ *testing.T, method string) {
						p := map[string][2]string{"File": {"POST", "/issue"}, "Comment": {"POST", "/comment"}, "Attach": {"POST", "/attachments"}, "Update": {"PUT", ""}, "Reopen": {"POST", "/transitions"}, "Close": {"POST", "/comment"}}[method]
						s.Lose(p[0], p[1])
					},
				}
			})
		})
	}
}

func file(t *testing.T, tr *jira.Tracker, key string) string {
	t.Helper()
	id, err := tr.File(t.Context(), key, repairer.Ticket{Case: "c1", Title: "Replace disk S1", Body: "body"})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Search finds new issues late: what may have been created already is not created again before.
func TestTracker_FilesOnceAlthoughSearchLags(t *testing.T) {
	t.Parallel()
	s := jiratest.Start(t, jiratest.Options{Lag: true})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	o := options(s)
	o.IndexLag, o.Now = 30*time.Second, func() time.Time { return now }
	tr := open(t, o)
	now = now.Add(time.Minute)
	try := func(tr *jira.Tracker) error {
		_, err := tr.File(t.Context(), "k/c1/ticket", repairer.Ticket{Case: "c1", Title: "t", Body: "b"})
		return err
	}
	s.Lose("POST", "/issue")
	if err := try(tr); err == nil {
		t.Fatal("the answer was not lost")
	}
	for _, again := range []*jira.Tracker{tr, open(t, o)} { // also after a crash
		if err := try(again); err == nil || !strings.Contains(err.Error(), "search lags behind") || s.Count() != 1 {
			t.Fatalf("%d issues, %v", s.Count(), err)
		}
	}
	s.Index()
	now = now.Add(31 * time.Second)
	if err := try(tr); err != nil || s.Count() != 1 {
		t.Fatalf("%d issues, %v", s.Count(), err)
	}
	s.Fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		answer(w, 400, "application/json", `{"errorMessages":[],"errors":{"customfield_10099":"Cost centre is required."}}`)
		return true
	})
	if _, err := tr.File(t.Context(), "k/c2/ticket", repairer.Ticket{}); err == nil || !strings.Contains(err.Error(), "customfield_10099: Cost centre is required.") {
		t.Errorf("refused: %v", err)
	}
	s.Fail(nil)
	file(t, tr, "k/c2/ticket") // what was refused is not there, so nobody waits for the search
	// The answer has come, and what the caller did next with the ticket did not succeed.
	if _, err := tr.File(t.Context(), "k/c2/ticket", repairer.Ticket{Case: "c2", Title: "t", Body: "b"}); err == nil || !strings.Contains(err.Error(), "search lags behind") || s.Count() != 2 {
		t.Errorf("%d issues, %v", s.Count(), err)
	}
	s.Index()
	if file(t, tr, "k/c2/ticket"); s.Count() != 2 {
		t.Errorf("%d issues", s.Count())
	}
}

func TestTracker_KnowsItsIssueFromACopy(t *testing.T) {
	t.Parallel()
	s := jiratest.Start(t, jiratest.Options{})
	tr := open(t, options(s))
	id := file(t, tr, "k/c1/ticket")
	s.Clone(id)
	for range 2 {
		if got := file(t, tr, "k/c1/ticket"); got != id {
			t.Errorf("found %s, want %s", got, id)
		}
	}
}

func answer(w http.ResponseWriter, code int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(code)
	fmt.Fprint(w, body)
}

// What Jira and proxies answer when something is wrong, and what becomes of it: whether the ticket counts as
// gone, whether the next call is asked at once, and that a secret or a page never gets into the error.
func TestTracker_Errors(t *testing.T) {
	t.Parallel()
	const page = "<html><body>login to continue SECRETPAGE</body></html>"
	for _, tc := range []struct {
		name       string
		code       int
		header     string
		kind, body string
		want       string
		gone, held bool
	}{
		{"not found", 404, "", "application/json", `{"errorMessages":["Issue Does Not Exist"],"errors":{}}`, "Issue Does Not Exist", true, false},
		{"a page of a proxy is no missing issue", 404, "", "text/html", page, "404 Not Found: the answer is text/html, which may be a proxy's", false, false},
		{"a login page", 200, "", "text/html; charset=utf-8", page, "login page or a proxy", false, false},
		{"all fields that are wrong", 400, "", "application/json", `{"errorMessages":["m"],"errors":{"b":"two","a":"one"}}`, "m; a: one; b: two", false, false},
		{"unauthorized", 401, "", "text/html", page, "does not take this user and secret", false, true},
		{"captcha", 403, "X-Authentication-Denied-Reason: CAPTCHA_CHALLENGE; login-url=https://jira/login.jsp", "text/html", page, "CAPTCHA", false, true},
		{"forbidden", 403, "", "application/json", `{"errorMessages":["You do not have the permission to see the specified issue."]}`, "permission", false, false},
		{"conflict", 409, "", "application/json", `{"errorMessages":["conflict"]}`, "409 Conflict: conflict", false, false},
		{"too many, in seconds", 429, "Retry-After: 120", "application/json", `{"errorMessages":["Rate limit exceeded."]}`, "asked again after 2026-03-01T12:02:00Z", false, true},
		{"too many, until a date", 429, "Retry-After: Sun, 01 Mar 2026 12:05:00 GMT", "", "", "asked again after 2026-03-01T12:05:00Z", false, true},
		{"too many, for years", 429, "Retry-After: 99999999999999999999", "", "", "429 Too Many Requests", false, false},
		{"maintenance", 503, "Retry-After: 60", "text/html", page, "asked again after 2026-03-01T12:01:00Z", false, true},
		{"broken", 500, "", "application/json", `{"message":"null","status-code":500}`, "500 Internal Server Error: null", false, false},
		{"no JSON", 500, "", "application/json", `{`, "500 Internal Server Error", false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := jiratest.Start(t, jiratest.Options{})
			now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			o := options(s)
			o.Now = func() time.Time { return now }
			tr := open(t, o)
			id := file(t, tr, "k/c1/ticket")
			s.Fail(func(w http.ResponseWriter, _ *http.Request) bool {
				if k, v, ok := strings.Cut(tc.header, ": "); ok {
					w.Header().Set(k, v)
				}
				answer(w, tc.code, tc.kind, tc.body)
				return true
			})
			_, err := tr.Ticket(t.Context(), id)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "SECRETPAGE") || strings.Contains(err.Error(), "secret@") {
				t.Fatalf("error %v", err)
			}
			if got := errors.Is(err, glia.ErrNotFound); got != tc.gone {
				t.Errorf("gone %t: %v", got, err)
			}
			calls := len(s.Calls())
			if err := tr.Comment(t.Context(), "k/1", id, "x"); err == nil {
				t.Error("a comment was taken")
			}
			if held := len(s.Calls()) == calls; held != tc.held {
				t.Errorf("held %t, want %t", held, tc.held)
			}
			s.Fail(nil)
			now = now.Add(10 * time.Minute)
			if err := tr.Comment(t.Context(), "k/1", id, "x"); err != nil {
				t.Errorf("later: %v", err)
			}
		})
	}
}

func TestTracker_ChecksTheScreenAtStart(t *testing.T) {
	t.Parallel()
	s := jiratest.Start(t, jiratest.Options{Required: []string{"Data Centre"}})
	for _, tc := range []struct {
		name   string
		change func(*jira.Options)
		want   []string
	}{
		{"a required field has no value", func(*jira.Options) {}, []string{`the screen requires "Data Centre" (customfield_10010): give it a value`}},
		{"all that is wrong", func(o *jira.Options) {
			o.Priority, o.Components, o.Fields = "Urgent", []string{"Disks"}, []jira.Field{{"Data Centre", []string{"lon3"}}, {"Colour", []string{"red"}}, {"Floors", []string{"two"}}}
		}, []string{`priority: "Urgent" is none of High, Medium, Low`, `components: "Disks" is none of Storage, Network`, `field "Data Centre": "lon3" is none of fra1, ams2`, `has no field "Colour"`, `"two" is no number`}},
		{"no such type", func(o *jira.Options) { o.Type = "Incident" }, []string{`issue type "Incident": project OPS has Story, Task`}},
		{"no such project", func(o *jira.Options) { o.Project = "XXX" }, []string{`project "XXX": No project could be found`}},
	} {
		o := options(s)
		tc.change(&o)
		err := open(t, o).Check(t.Context())
		var m *jira.Mismatch
		if !errors.As(err, &m) {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %s", tc.name, err, w)
			}
		}
	}
	o := options(s)
	o.Secret = secret.Of("wrong")
	var m *jira.Mismatch
	if err := open(t, o).Check(t.Context()); err == nil || errors.As(err, &m) || strings.Contains(err.Error(), "wrong ") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestTracker_SetsEveryKindOfField(t *testing.T) {
	t.Parallel()
	for _, cloud := range []bool{false, true} {
		s := jiratest.Start(t, jiratest.Options{Cloud: cloud})
		o := options(s)
		o.User, o.Priority, o.Components, o.Labels, o.Assignee = "", "high", []string{"Storage"}, []string{"disks"}, "ann"
		o.Fields = []jira.Field{{"data centre", []string{"FRA1"}}, {"Rack", []string{"r7"}}, {"Floors", []string{"2"}}, {"customfield_10013", []string{"hands", "eyes"}}}
		id := file(t, open(t, o), "k/c1/ticket")
		person := map[bool]string{false: `{"name":"ann"}`, true: `{"accountId":"ann"}`}[cloud]
		for field, want := range map[string]string{
			"priority": `{"name":"High"}`, "components": `[{"name":"Storage"}]`, "assignee": person, "customfield_10010": `{"value":"fra1"}`, "customfield_10011": `"r7"`,
			"customfield_10012": `2`, "customfield_10013": `[{"value":"hands"},{"value":"eyes"}]`,
		} {
			if got := s.Field(id, field); got != want {
				t.Errorf("%s is %s, want %s", field, got, want)
			}
		}
		if got := s.Field(id, "labels"); !strings.HasPrefix(got, `["glia","disks","glia-`) {
			t.Errorf("labels %s", got)
		}
	}
}

func TestTracker_ReadsManyStatusesAtOnce(t *testing.T) {
	t.Parallel()
	for _, cloud := range []bool{false, true} {
		s := jiratest.Start(t, jiratest.Options{Cloud: cloud})
		tr := open(t, options(s))
		var ids []string
		for i := range 4 {
			ids = append(ids, file(t, tr, fmt.Sprint("k/", i)))
		}
		s.Resolve(ids[1], "Duplicate")
		s.Resolve(ids[2], "Rejected by vendor")
		calls := len(s.Calls())
		list, err := tr.Statuses(t.Context(), append(ids, "OPS-999", "no key"))
		if err != nil || len(s.Calls()) != calls+1 {
			t.Fatalf("%d calls, %v", len(s.Calls())-calls, err)
		}
		var got []string
		for _, tk := range list {
			got = append(got, tk.ID+" "+tk.Status+" "+tk.Resolution)
		}
		if want := []string{"OPS-1 open ", "OPS-2 resolved duplicate", "OPS-3 resolved Rejected by vendor", "OPS-4 open "}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	}
}

func TestTracker_GoesThroughNamedTransitions(t *testing.T) {
	t.Parallel()
	s := jiratest.Start(t, jiratest.Options{})
	o := options(s)
	o.Reopen = []string{"In progress"}
	tr := open(t, o)
	id := file(t, tr, "k/c1/ticket")
	s.Resolve(id, "Done")
	if err := tr.Reopen(t.Context(), "k/1", id, "empty"); err != nil || s.Status(id) != "In Progress" {
		t.Errorf("status %s, %v", s.Status(id), err)
	}
	o.Reopen = []string{"Back to the Shelf"}
	s.Resolve(id, "Done")
	err := open(t, o).Reopen(t.Context(), "k/2", id, "empty")
	if err == nil || !strings.Contains(err.Error(), `no transition leads from status "Done" to one that is not done`) || !strings.Contains(err.Error(), "there are To Do, In Progress, Done, configured Back to the Shelf") {
		t.Errorf("no transition: %v", err)
	}
}

func TestTracker_TrustsOnlyItsAuthority(t *testing.T) {
	t.Parallel()
	s := jiratest.Start(t, jiratest.Options{TLS: true})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.Certificate())
	o := options(s)
	o.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	if err := open(t, o).Check(t.Context()); err != nil {
		t.Error(err)
	}
	o.Transport = &http.Transport{} // with the authorities of the system, which a busy machine may take longer to read than the default one waits
	if err := open(t, o).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the authority: %v", err)
	}
}

func TestTracker_EndsWithItsContextWhileJiraHangs(t *testing.T) {
	t.Parallel()
	s := jiratest.Start(t, jiratest.Options{})
	tr := open(t, options(s))
	id := file(t, tr, "k/c1/ticket")
	begun := make(chan struct{})
	s.Fail(func(_ http.ResponseWriter, r *http.Request) bool { close(begun); <-r.Context().Done(); return true })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := tr.Ticket(ctx, id); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
