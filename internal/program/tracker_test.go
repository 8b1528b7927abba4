package program_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/config"
	"glia/config/secret"
	"glia/internal/program/repairerd"
	"glia/repairer/ticket/jira/jiratest"
)

func inJira(t *testing.T, s *jiratest.Server) func(*config.Repairer) {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *config.Repairer) {
		c.Tracker.Kind, c.Jira.URL, c.Jira.Token, c.Jira.Project = config.TrackerJira, s.URL, secret.MustParse(token), jiratest.Project
	}
}

func TestRepairer_DoesNotStartWithAnotherScreenInJira(t *testing.T) {
	t.Parallel()
	c := config.DefaultRepairer()
	c.Database, c.API.Listen = filepath.Join(t.TempDir(), "db"), "127.0.0.1:0"
	inJira(t, jiratest.Start(t, jiratest.Options{Required: []string{"Rack"}}))(&c)
	err := repairerd.Run(t.Context(), c, nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), `the screen requires "Rack" (customfield_10011)`) {
		t.Errorf("started: %v", err)
	}
}

func TestRepairer_DoesNotStartWithoutItsProjectInRedmine(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.DefaultRepairer()
	c.Database, c.API.Listen = filepath.Join(t.TempDir(), "db"), "127.0.0.1:0"
	c.Tracker.Kind, c.Redmine.URL, c.Redmine.Key, c.Redmine.Project = config.TrackerRedmine, s.URL, secret.MustParse(key), "disks"
	err := repairerd.Run(t.Context(), c, nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "there is no project disks") {
		t.Errorf("started: %v", err)
	}
}

// A Jira that is down keeps nothing from starting, and the tickets are not glia's to resolve.
func TestRepairer_StartsWithoutJira(t *testing.T) {
	t.Parallel()
	s := jiratest.Start(t, jiratest.Options{})
	s.Fail(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	var conf *config.Repairer
	told := filepath.Join(t.TempDir(), "told")
	if err := os.WriteFile(told, []byte("shared"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := start(t, filepath.Join(t.TempDir(), "db"), inJira(t, s), func(c *config.Repairer) { conf, c.Tracker.ChangedSecret = c, secret.MustParse(told) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := o.api.ListTickets(ctx, connect.NewRequest(&gliav1.ListTicketsRequest{})); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("tickets: %v", err)
	}
	r, err := http.Post("http://"+conf.API.Listen+"/tracker/changed", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Body.Close(); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a change that nobody has signed: %s", r.Status)
	}
}

func TestLoadRepairer_TriesTheTemplateOfTickets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf, tmpl := filepath.Join(dir, "repairer.toml"), filepath.Join(dir, "ticket.tmpl")
	for text, want := range map[string]string{
		`{{define "title"}}{{.Serial}}{{end}}{{define "body"}}{{.Do}} in {{.Rack}}{{end}}`: conf + ":2:1: tracker.template: " + tmpl + ": a sample ticket (wait): ",
		`{{define "title"}}{{.Serial}}{{end}}{{define "body"}}{{.Do}}{{end}}`:              "",
	} {
		for name, content := range map[string]string{tmpl: text, conf: "[tracker]\ntemplate = \"" + tmpl + "\"\n"} {
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := repairerd.Load(conf)
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
