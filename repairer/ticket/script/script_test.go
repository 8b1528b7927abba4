package script_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"glia"
	"glia/config/secret"
	"glia/repairer"
	"glia/repairer/store"
	"glia/repairer/ticket"
	"glia/repairer/ticket/script"
	"glia/repairer/ticket/tickettest"
)

// The example for sites keeps the contract that every tracker keeps.
func TestExample_KeepsTheContract(t *testing.T) {
	t.Parallel()
	const python = "/usr/bin/python3"
	if err := exec.CommandContext(t.Context(), python, "-V").Run(); err != nil {
		t.Skip("python3 is not installed; run internal/testbed/install.sh test")
	}
	example, err := filepath.Abs("../../../config/tickets-in-a-folder.py")
	if err != nil {
		t.Fatal(err)
	}
	tickettest.Run(t, func(t *testing.T) tickettest.Bed {
		dir, lose := t.TempDir(), filepath.Join(t.TempDir(), "lose")
		// The program does its work, and dies before the answer.
		const wrapper = `out=$("$2" "$3" "$4") || exit 1; if [ -e "$1" ]; then case "$out" in '{"id": ""}') ;; *) rm "$1"; exit 7; esac; fi; printf %s "$out"`
		file := func(id string) string { return filepath.Join(dir, id+".json") }
		read := func(t *testing.T, id string) (doc map[string]any) {
			t.Helper()
			b, err := os.ReadFile(file(id))
			if err == nil {
				err = json.Unmarshal(b, &doc)
			}
			if err != nil {
				t.Fatal(err)
			}
			return doc
		}
		return tickettest.Bed{
			Tracker: script.New(script.Command{"/bin/sh", "-c", wrapper, "sh", lose, python, example, dir}),
			Answer: func(t *testing.T, id, resolution string) {
				doc := read(t, id)
				doc["status"], doc["resolution"] = "resolved", resolution
				b, err := json.Marshal(doc)
				if err == nil {
					err = os.WriteFile(file(id), b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			Count: func(t *testing.T) int {
				list, err := filepath.Glob(file("*"))
				if err != nil {
					t.Fatal(err)
				}
				return len(list)
			},
			Attached: func(t *testing.T, id string) (out []string) {
				for _, f := range read(t, id)["files"].([]any) {
					out = append(out, f.(map[string]any)["text"].(string))
				}
				return out
			},
			Lose: func(t *testing.T, _ string) {
				if err := os.WriteFile(lose, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// site is the other side of a webhook: it checks signatures, and keeps its tickets in a built-in tracker.
type site struct {
	*ticket.Builtin
	lose atomic.Pointer[string] // the verb whose next answer is lost
}

const (
	shared = "shared secret"
	hub    = "56c973022c30494b14a7d634787d1325bbf91433e5a1293680d21ff8edb0c2d6" // of {"id":"T1"}, by openssl
)

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get(script.HeaderSignature) != script.Sign(shared, r.Header.Get(script.HeaderTime), body) {
		http.Error(w, "signature", http.StatusUnauthorized)
		return
	}
	var q script.Request
	if err := json.Unmarshal(body, &q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := s.answer(r.Context(), q)
	if v := s.lose.Load(); v != nil && *v == q.Verb {
		s.lose.Store(nil)
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // the client is gone
}

func (s *site) answer(ctx context.Context, q script.Request) (a script.Answer) {
	var err error
	switch q.Verb {
	case "find":
		if a.ID, err = s.Find(ctx, q.Key); errors.Is(err, glia.ErrNotFound) {
			err = nil
		}
	case "file":
		a.ID, err = s.File(ctx, q.Key, repairer.Ticket{Case: q.Case, Title: q.Title, Body: q.Body})
	case "update":
		err = s.Update(ctx, q.ID, q.Title, q.Body)
	case "comment":
		err = s.Comment(ctx, q.Key, q.ID, q.Text)
	case "attach":
		err = s.Attach(ctx, q.Key, q.ID, q.Name, q.Data)
	case "reopen":
		err = s.Reopen(ctx, q.Key, q.ID, q.Text)
	case "close":
		err = s.Close(ctx, q.Key, q.ID, q.Text)
	case "read":
		var k repairer.Ticket
		k, err = s.Ticket(ctx, q.ID)
		a = script.Answer{ID: k.ID, Title: k.Title, Body: k.Body, Status: k.Status, Resolution: k.Resolution, CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt}
		for _, c := range k.Comments {
			a.Comments = append(a.Comments, script.Comment(c))
		}
	}
	switch {
	case errors.Is(err, glia.ErrNotFound):
		a.NotFound = true
	case err != nil:
		a.Error = err.Error()
	}
	return a
}

func TestWebhook_KeepsTheContract(t *testing.T) {
	t.Parallel()
	tickettest.Run(t, func(t *testing.T) tickettest.Bed {
		db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		s := &site{Builtin: ticket.New(db.DB(), time.Now)}
		web := httptest.NewServer(s)
		t.Cleanup(web.Close)
		return tickettest.Bed{
			Tracker: script.New(script.Webhook{URL: web.URL, Secret: secret.Of(shared), HTTP: web.Client(), Now: time.Now}),
			Answer: func(t *testing.T, id, resolution string) {
				if _, err := s.Resolve(t.Context(), id, resolution, "ann", ""); err != nil {
					t.Fatal(err)
				}
			},
			Count: func(t *testing.T) int {
				list, err := s.Tickets(t.Context(), true)
				if err != nil {
					t.Fatal(err)
				}
				return len(list)
			},
			Attached: func(t *testing.T, id string) (out []string) {
				k, err := s.Ticket(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range k.Comments {
					if text, ok := strings.CutPrefix(c.Text, "Attached evidence.txt:\n"); ok {
						out = append(out, text)
					} else if strings.HasPrefix(c.Text, "Attached ") {
						out = append(out, c.Text)
					}
				}
				return out
			},
			Lose: func(_ *testing.T, method string) { v := strings.ToLower(method); s.lose.Store(&v) },
		}
	})
}

func TestCommand_Errors(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		`echo tracker is down >&2; exit 3`:   "exit status 3: tracker is down",
		`echo hello`:                         "the answer is not the JSON that it should be",
		`printf %s '{"error":"two\nlines"}'`: "read ticket T1: two lines",
		`echo '{"status":"done"}'`:           `the status "done" is not open, resolved or closed`,
		`head -c 9000000 /dev/zero`:          "answers with more than 8388608 bytes",
		`yes >&2`:                            "", // it ends all the same
		`printf %s '{"id":"a\nb"}'`:          "an id that is no short word",
		`test -z "$GLIA_TEST_CANARY" || echo leaked >&2; exit 1`: "exit status 1",
	} {
		_, err := script.New(script.Command{"/bin/sh", "-c", program}).Ticket(t.Context(), "T1")
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, glia.ErrNotFound) || strings.Contains(err.Error(), "leaked") {
			t.Errorf("%s: %v", program, err)
		}
	}
	if _, err := script.New(script.Command{"/nonexistent/script"}).Find(t.Context(), "k"); err == nil || errors.Is(err, glia.ErrNotFound) {
		t.Errorf("no program: %v", err)
	}
}

// A program that hangs is killed with all its children.
func TestCommand_LeavesNothingBehind(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := script.New(script.Command{"/bin/sh", "-c", `exec 3>"$0"; sleep 600 & echo up >&3; wait`, fifo}).Ticket(ctx, "T1")
		ended <- err
	}()
	f, err := os.Open(fifo) // returns when the program has opened it, too
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if _, err := io.ReadAll(f); err != nil { // ends when nobody has it open any more
		t.Fatal(err)
	}
}

func TestWebhook_Errors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		code       int
		kind, body string
		want       string
	}{
		"not ours":             {404, "application/json", `{"not_found":true}`, "the webhook answers with 404"},
		"a page":               {200, "text/html", "<html>", "not application/json"},
		"broken":               {200, "application/json", "{", "not the JSON"},
		"does not know it":     {200, "application/json", `{"error":"maintenance"}`, "maintenance"},
		"redirected elsewhere": {302, "", "", "refused"},
	} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tc.kind)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tc.code)
			_, _ = io.WriteString(w, tc.body)
		}))
		c := web.Client()
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("refused") }
		_, err := script.New(script.Webhook{URL: web.URL, Secret: secret.Of(shared), HTTP: c, Now: time.Now}).Ticket(t.Context(), "T1")
		if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, glia.ErrNotFound) || strings.Contains(err.Error(), shared) {
			t.Errorf("%s: %v", name, err)
		}
		web.Close()
	}
}

func TestChanged_TakesOnlyWhatIsSignedAndFresh(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	stamp := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }
	const body = `{"id":"T1"}`
	for name, tc := range map[string]struct {
		method string
		head   map[string]string
		body   string
		code   int
	}{
		"signed":            {"POST", map[string]string{script.HeaderTime: stamp(0), script.HeaderSignature: script.Sign(shared, stamp(0), []byte(body))}, body, 204},
		"of another secret": {"POST", map[string]string{script.HeaderTime: stamp(0), script.HeaderSignature: script.Sign("x", stamp(0), []byte(body))}, body, 401},
		"of another body":   {"POST", map[string]string{script.HeaderTime: stamp(0), script.HeaderSignature: script.Sign(shared, stamp(0), []byte(body))}, body + " ", 401},
		"too old":           {"POST", map[string]string{script.HeaderTime: stamp(-6 * time.Minute), script.HeaderSignature: script.Sign(shared, stamp(-6*time.Minute), []byte(body))}, body, 401},
		"from the future":   {"POST", map[string]string{script.HeaderTime: stamp(6 * time.Minute), script.HeaderSignature: script.Sign(shared, stamp(6*time.Minute), []byte(body))}, body, 401},
		"of no time":        {"POST", map[string]string{script.HeaderTime: "soon", script.HeaderSignature: script.Sign(shared, "soon", []byte(body))}, body, 401},
		"not signed":        {"POST", nil, body, 401},
		// printf %s '{"id":"T1"}' | openssl dgst -sha256 -hmac 'shared secret'
		"as Jira Cloud signs":  {"POST", map[string]string{"X-Hub-Signature": "sha256=HUB"}, body, 204},
		"as GitHub signs":      {"POST", map[string]string{"X-Hub-Signature-256": "sha256=HUB"}, body, 204},
		"with an old function": {"POST", map[string]string{"X-Hub-Signature": "sha1=00"}, body, 401},
		"read":                 {"GET", nil, "", 405},
		"huge":                 {"POST", nil, strings.Repeat("x", 2<<20), 413},
	} {
		looks := 0
		r := httptest.NewRequest(tc.method, "/tracker/changed", strings.NewReader(tc.body))
		for k, v := range tc.head {
			r.Header.Set(k, strings.Replace(v, "HUB", hub, 1))
		}
		w := httptest.NewRecorder()
		script.Changed(secret.Of(shared), func() time.Time { return now }, func() { looks++ }).ServeHTTP(w, r)
		if w.Code != tc.code || (looks == 1) != (tc.code == 204) {
			t.Errorf("%s: %d, %d looks; want %d", name, w.Code, looks, tc.code)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"T1","status":"open","comments":[{"at":"2026-03-01T12:00:00Z","author":"ann","text":"x"}]}`))
	f.Add([]byte(`{"not_found":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := script.Decode(b); err == nil && strings.ContainsAny(a.ID, "\n\r\x00") {
			t.Errorf("id %q", a.ID)
		}
	})
}
