package repairerd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"glia/config"
	"glia/internal/program"
	"glia/repairer"
	"glia/repairer/ticket"
	"glia/repairer/ticket/jira"
	"glia/repairer/ticket/poll"
	"glia/repairer/ticket/script"
)

// tracking is where tickets are filed, and how their states are known.
type tracking struct {
	tracker repairer.Tracker
	desk    repairer.Desk    // nil unless people work on tickets with glia
	words   *repairer.Words  // nil: glia's own
	answers repairer.Answers // nil: the tracker is asked
	run     func(context.Context) error
	changed http.Handler // nil: nobody tells of changes
}

// checkWithin bounds the look at a tracker at the start. One that does not answer keeps nothing from starting.
const checkWithin = 20 * time.Second

// openTracker makes the configured tracker. An error is one that waiting does not mend.
func openTracker(ctx context.Context, c config.Repairer, db *sql.DB, wake func(), log *slog.Logger) (tracking, error) {
	words, err := templateOf(c.Tracker)
	if err != nil {
		return tracking{}, err
	}
	if c.Tracker.Kind == config.TrackerBuiltin {
		b := ticket.New(db, time.Now)
		return tracking{tracker: b, desk: b, words: words, run: func(context.Context) error { return nil }}, nil
	}
	t, err := elsewhere(ctx, c, log)
	if err != nil {
		return tracking{}, err
	}
	w := poll.New(t, poll.Options{Every: time.Duration(c.Tracker.Poll), Rate: c.Tracker.Requests, Log: log, Seen: wake})
	out := tracking{tracker: w.Tracker(), answers: w, words: words, run: w.Run}
	if !c.Tracker.ChangedSecret.IsZero() {
		s, err := c.Tracker.ChangedSecret.Read()
		if err != nil {
			return tracking{}, fmt.Errorf("read the secret of those who tell of changes: %w", err)
		}
		out.changed = script.Changed(s, time.Now, w.Hint)
	}
	return out, nil
}

// templateOf is the site's own text of tickets; nil when it has none.
func templateOf(c config.Tracker) (*repairer.Words, error) {
	if c.Template == "" {
		return nil, nil
	}
	b, err := os.ReadFile(c.Template)
	if err != nil {
		return nil, fmt.Errorf("read the template of tickets: %w", err)
	}
	w, err := repairer.ParseWords(string(b))
	if err != nil {
		return nil, fmt.Errorf("template of tickets %s: %w", c.Template, err)
	}
	return w, nil
}

// elsewhere is a tracker that is not glia's own.
func elsewhere(ctx context.Context, c config.Repairer, log *slog.Logger) (repairer.Tracker, error) {
	switch c.Tracker.Kind {
	case config.TrackerJira:
		return openJira(ctx, c.Jira, log)
	case config.TrackerRedmine:
		return openRedmine(ctx, c.Redmine, log)
	case config.TrackerScript:
		return script.New(script.Command(c.Script.Command)), nil
	case config.TrackerWebhook:
		s, err := c.Webhook.Secret.Read()
		if err != nil {
			return nil, fmt.Errorf("read the secret of the webhook: %w", err)
		}
		way, err := program.Outward(c.Webhook.Proxy, c.Webhook.CA)
		if err != nil {
			return nil, err
		}
		client := &http.Client{Transport: way, CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("refused: a webhook must not redirect") }}
		return script.New(script.Webhook{URL: c.Webhook.URL, Secret: s, HTTP: client, Now: time.Now}), nil
	}
	return nil, fmt.Errorf("no tracker is called %q", c.Tracker.Kind)
}

func openJira(ctx context.Context, c config.Jira, log *slog.Logger) (*jira.Tracker, error) {
	o, err := jiraOptions(c)
	if err != nil {
		return nil, err
	}
	j, err := jira.New(o)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	var wrong *jira.Mismatch
	switch err := j.Check(within); {
	case errors.As(err, &wrong):
		return nil, fmt.Errorf("[jira] and project %s of %s do not fit: %w", c.Project, c.URL, err)
	case err != nil:
		log.Warn("Jira can not be asked whether the configuration fits, cases wait for it", "url", c.URL, "error", err)
	}
	return j, nil
}

func jiraOptions(c config.Jira) (o jira.Options, err error) {
	o = jira.Options{
		URL: c.URL, User: c.User, Project: c.Project, Type: c.Type, Priority: c.Priority, Components: c.Components, Labels: c.Labels, Assignee: c.Assignee,
		Reopen: c.Reopen, Close: c.Close, CloseAs: c.CloseAs, Resolutions: meanings(c.Done, c.WontDo, c.Duplicate, c.CannotReproduce), IndexLag: time.Duration(c.IndexLag), Now: time.Now,
	}
	for _, f := range c.Fields {
		o.Fields = append(o.Fields, jira.Field{Name: f.Name, Values: f.Values})
	}
	from := c.Token
	if c.User != "" {
		from = c.Password
	}
	if o.Secret, err = from.Read(); err != nil {
		return o, fmt.Errorf("read the secret for Jira: %w", err)
	}
	o.Transport, err = program.Outward(c.Proxy, c.CA)
	return o, err
}

// meanings are what the names of a tracker mean, in lower case.
func meanings(done, wontDo, duplicate, cannotReproduce []string) map[string]string {
	out := map[string]string{}
	for means, names := range map[string][]string{
		repairer.ResolutionDone: done, repairer.ResolutionWontDo: wontDo, repairer.ResolutionDuplicate: duplicate, repairer.ResolutionCannotReproduce: cannotReproduce,
	} {
		for _, n := range names {
			out[strings.ToLower(n)] = means
		}
	}
	return out
}
