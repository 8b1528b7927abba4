package program

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"glia/config"
	"glia/repairer"
	"glia/repairer/ticket"
	"glia/repairer/ticket/jira"
	"glia/repairer/ticket/poll"
)

// tracking is where tickets are filed, and how their states are known.
type tracking struct {
	tracker repairer.Tracker
	desk    repairer.Desk    // nil unless people work on tickets with glia
	answers repairer.Answers // nil: the tracker is asked
	run     func(context.Context) error
}

// checkWithin bounds the look at a tracker at the start. One that does not answer keeps nothing from starting.
const checkWithin = 20 * time.Second

// openTracker makes the configured tracker. An error is one that waiting does not mend.
func openTracker(ctx context.Context, c config.Repairer, db *sql.DB, wake func(), log *slog.Logger) (tracking, error) {
	if c.Tracker.Kind == config.TrackerBuiltin {
		b := ticket.New(db, time.Now)
		return tracking{tracker: b, desk: b, run: func(context.Context) error { return nil }}, nil
	}
	o, err := jiraOptions(c.Jira)
	if err != nil {
		return tracking{}, err
	}
	j, err := jira.New(o)
	if err != nil {
		return tracking{}, err
	}
	within, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	var wrong *jira.Mismatch
	switch err := j.Check(within); {
	case errors.As(err, &wrong):
		return tracking{}, fmt.Errorf("[jira] and project %s of %s do not fit: %w", c.Jira.Project, c.Jira.URL, err)
	case err != nil:
		log.Warn("Jira can not be asked whether the configuration fits, cases wait for it", "url", c.Jira.URL, "error", err)
	}
	w := poll.New(j, poll.Options{Every: time.Duration(c.Tracker.Poll), Rate: c.Tracker.Requests, Log: log, Seen: wake})
	return tracking{tracker: w.Tracker(), answers: w, run: w.Run}, nil
}

func jiraOptions(c config.Jira) (o jira.Options, err error) {
	o = jira.Options{
		URL: c.URL, User: c.User, Project: c.Project, Type: c.Type, Priority: c.Priority, Components: c.Components, Labels: c.Labels, Assignee: c.Assignee,
		Reopen: c.Reopen, Close: c.Close, CloseAs: c.CloseAs, Resolutions: map[string]string{}, IndexLag: time.Duration(c.IndexLag), Now: time.Now,
	}
	for _, f := range c.Fields {
		o.Fields = append(o.Fields, jira.Field{Name: f.Name, Values: f.Values})
	}
	for means, names := range map[string][]string{
		repairer.ResolutionDone: c.Done, repairer.ResolutionWontDo: c.WontDo, repairer.ResolutionDuplicate: c.Duplicate, repairer.ResolutionCannotReproduce: c.CannotReproduce,
	} {
		for _, n := range names {
			o.Resolutions[strings.ToLower(n)] = means
		}
	}
	file := c.TokenFile
	if c.User != "" {
		file = c.PasswordFile
	}
	if o.Secret, err = secret(file); err != nil {
		return o, fmt.Errorf("read the secret for Jira: %w", err)
	}
	o.Transport, err = outward(c.Proxy, c.CA)
	return o, err
}

// outward calls servers that are not glia's: through this proxy and no other, trusting this authority, or those of
// the system when it is empty.
func outward(proxy, ca string) (http.RoundTripper, error) {
	t := &http.Transport{
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			return nil, errors.New("the proxy is no URL")
		}
		t.Proxy = http.ProxyURL(u)
	}
	trusted, err := clientTLS(ca, "", "")
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	if trusted != nil {
		t.TLSClientConfig = trusted
	}
	return t, nil
}
