package notify_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"glia/config/secret"
	"glia/repairer/notify"
)

// slackAPI answers as docs.slack.dev says of chat.postMessage and chat.update, and keeps what a reader of the channel sees.
type slackAPI struct {
	mu      sync.Mutex
	token   string
	fails   []string // the next answers, before any is right: an error of Slack's, or 429
	lines   map[string]string
	threads map[string][]string // replies, by the first message
	order   []string
	loud    int
}

func startSlack(t *testing.T) (*slackAPI, *notify.Slack) {
	s := &slackAPI{token: "xoxb-canary-token", lines: map[string]string{}, threads: map[string][]string{}}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return s, &notify.Slack{Token: secret.Of(s.token), Channel: "C1", API: web.URL + "/api/", HTTP: web.Client()}
}

func (s *slackAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := func(v map[string]any) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(v)
	}
	if len(s.fails) > 0 {
		f := s.fails[0]
		s.fails = s.fails[1:]
		if f == "429" {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		answer(map[string]any{"ok": false, "error": f, "needed": "you sent " + r.Header.Get("Authorization")})
		return
	}
	if r.Method != http.MethodPost || r.FormValue("token") != s.token && r.Header.Get("Authorization") != "Bearer "+s.token {
		answer(map[string]any{"ok": false, "error": "invalid_auth"})
		return
	}
	text, ts := r.FormValue("text"), r.FormValue("ts")
	switch {
	case r.FormValue("channel") != "C1":
		answer(map[string]any{"ok": false, "error": "channel_not_found"})
		return
	case r.URL.Path == "/api/chat.update" && s.lines[ts] == "":
		answer(map[string]any{"ok": false, "error": "message_not_found"})
		return
	case r.URL.Path == "/api/chat.update":
		s.lines[ts] = text
	case r.URL.Path == "/api/chat.postMessage" && r.FormValue("thread_ts") != "":
		ts = "reply"
		s.threads[r.FormValue("thread_ts")] = append(s.threads[r.FormValue("thread_ts")], text)
		if r.FormValue("reply_broadcast") == "true" {
			s.loud++
		}
	case r.URL.Path == "/api/chat.postMessage":
		ts = fmt.Sprintf("17000000%02d.000100", len(s.order))
		s.lines[ts], s.order = text, append(s.order, ts)
	default:
		answer(map[string]any{"ok": false, "error": "unknown_method"})
		return
	}
	answer(map[string]any{"ok": true, "channel": "C1", "ts": ts, "message": map[string]any{"text": text}})
}

// seen is the channel as a person sees it.
func (s *slackAPI) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, ts := range s.order {
		out = append(out, s.lines[ts])
		for _, r := range s.threads[ts] {
			out = append(out, "  "+strings.ReplaceAll(r, "\n", "\n  "))
		}
	}
	return strings.Join(out, "\n")
}

func notice(id, state, text string, s notify.Severity) notify.Notice {
	n := notify.Notice{Case: id, State: state, Text: text, Severity: s, Urgent: s == notify.Critical}
	if id != "" {
		n.Title = id + ": disk S1 in node-1"
	}
	return n
}

func TestSlack_HasAThreadForEachCase(t *testing.T) {
	t.Parallel()
	api, slack := startSlack(t)
	threads := notify.Threads{}
	tell := func(wrong string, notices ...notify.Notice) {
		t.Helper()
		var err error
		threads, err = slack.Tell(t.Context(), notices, 0, threads)
		if wrong == "" && err != nil || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("got %v, want %q", err, wrong)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the error shows the token: %v", err)
		}
	}
	a, b := notice("case-1", "draining", "It starts.", notify.Info), notice("case-2", "parked", "Somebody is needed.", notify.Warning)
	if got := slack.Split([]notify.Notice{a, b, a}); !slices.Equal(got, []notify.Notice{a, a}) {
		t.Errorf("split into %v", got)
	}
	tell("", a)
	tell("", b)
	tell("", notice("", "", "The breaker has tripped.", notify.Critical))
	api.fails = []string{"invalid_auth"}
	tell("slack: invalid_auth", notice("case-1", "released", "It may be pulled.", notify.Warning))
	api.fails = []string{"429"}
	tell("slack: slack rate limit exceeded", notice("case-1", "released", "It may be pulled.", notify.Warning))
	tell("", notice("case-1", "released", "It may be pulled.", notify.Warning), notice("case-1", "released", "ALARM", notify.Critical))
	end := notice("case-1", "closed", "The end.", notify.Info)
	end.Over = true
	tell("", end)
	want := `*case-1: disk S1 in node-1*: closed
  It starts.
  It may be pulled.
  ALARM
  The end.
:warning: *case-2: disk S1 in node-1*: parked
  Somebody is needed.
:rotating_light: The breaker has tripped.`
	if got := api.seen(); got != want {
		t.Errorf("a person sees\n%s\nwant\n%s", got, want)
	}
	if len(threads) != 1 || threads["case-2"] == "" || api.loud != 1 {
		t.Errorf("kept %v; %d replies are in the channel, too", threads, api.loud)
	}
	threads["case-2"] = "deleted by a person"
	tell("", b)
	if got := api.seen(); strings.Count(got, "case-2") != 2 {
		t.Errorf("no new thread for one that was deleted:\n%s", got)
	}
}

func TestSlackHook_SaysLines(t *testing.T) {
	t.Parallel()
	var got []string
	fail := false
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if fail {
			http.Error(w, "no_service "+r.URL.Path, http.StatusNotFound)
			return
		}
		got = append(got, string(b))
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(web.Close)
	address := web.URL + "/services/T0/B0/canary-in-the-path"
	hook := &notify.SlackHook{URL: secret.Of(address), HTTP: web.Client()}
	if _, err := hook.Tell(t.Context(), []notify.Notice{notice("case-1", "", "One.", notify.Warning), notice("", "", "Two.", notify.Info)}, 3, nil); err != nil {
		t.Error(err)
	}
	if want := `{"text":":warning: (3 older notices are left out; glia cases has everything)\ncase-1: disk S1 in node-1: One.\nTwo.`; len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("said %q\nwant %q", got, want)
	}
	fail = true
	_, err := hook.Tell(t.Context(), []notify.Notice{notice("", "", "Two.", notify.Info)}, 0, nil)
	web.Close()
	_, gone := hook.Tell(t.Context(), []notify.Notice{notice("", "", "Two.", notify.Info)}, 0, nil)
	for _, err := range []error{err, gone} {
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("the error: %v", err)
		}
	}
}

func TestShoutrrr_TellsAWebAddress(t *testing.T) {
	t.Parallel()
	var got []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if len(got) > 0 {
			http.Error(w, "you sent "+r.URL.String(), http.StatusForbidden)
			return
		}
		got = append(got, r.URL.Path+" "+string(b))
	}))
	t.Cleanup(web.Close)
	sink, err := notify.NewShoutrrr(secret.Of("generic+" + web.URL + "/canary-path?@X-Token=canary-header&template=json"))
	if err != nil {
		t.Fatal(err)
	}
	notices := []notify.Notice{notice("case-1", "", "One.", notify.Warning)}
	if _, err := sink.Tell(t.Context(), notices, 0, nil); err != nil {
		t.Error(err)
	}
	if len(got) != 1 || !strings.Contains(got[0], "/canary-path") || !strings.Contains(got[0], "case-1: disk S1 in node-1: One.") || !strings.Contains(got[0], "glia: ") {
		t.Errorf("said %q", got)
	}
	_, err = sink.Tell(t.Context(), notices, 0, nil)
	web.Close()
	_, gone := sink.Tell(t.Context(), notices, 0, nil)
	_, none := notify.NewShoutrrr(secret.Of("nothing://canary-user:canary-password@host"))
	for _, err := range []error{err, gone, none} {
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("the error: %v", err)
		}
	}
}

func TestShoutrrr_SendsMail(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	mails := make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		mails <- takeMail(c)
	}()
	sink, err := notify.NewShoutrrr(secret.Of("smtp://" + ln.Addr().String() + "/?from=glia@example.org&to=ops@example.org&auth=None&encryption=None&usestarttls=no"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Tell(t.Context(), []notify.Notice{notice("case-1", "", "One.", notify.Warning), notice("case-2", "", "Two.", notify.Info)}, 0, nil); err != nil {
		t.Fatal(err)
	}
	mail := <-mails
	for _, want := range []string{"RCPT TO:<ops@example.org>", "MAIL FROM:<glia@example.org>", "case-1: disk S1 in node-1: One.", "case-2: disk S1 in node-1: Two."} {
		if !strings.Contains(mail, want) {
			t.Errorf("the mail has no %q:\n%s", want, mail)
		}
	}
}

// takeMail is a server of RFC 5321 that takes one mail. It returns what was said to it.
func takeMail(c net.Conn) string {
	var all strings.Builder
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	say("220 mail.example.org")
	data := false
	for lines := bufio.NewScanner(c); lines.Scan(); {
		l := lines.Text()
		all.WriteString(l + "\n")
		verb, _, _ := strings.Cut(strings.ToUpper(l), " ")
		switch {
		case data && l == ".":
			data = false
			say("250 taken")
		case data:
		case verb == "DATA":
			data = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return all.String()
		default:
			say("250 ok")
		}
	}
	return all.String()
}
