package repairerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	gliav1 "glia/api/glia/v1"
	"glia/config"
	"glia/internal/program"
	"glia/repairer/notify"
)

// notices tell people what happens.
type notices struct {
	tellers []*notify.Teller
	figures *notify.Figures
}

// openNotices makes a teller for each sink of the configuration.
func openNotices(c config.Repairer, st database, log *slog.Logger) (notices, error) {
	out := notices{figures: notify.NewFigures()}
	for _, n := range c.Notify {
		sink, err := openSink(n)
		if err != nil {
			return out, fmt.Errorf("notify %s: %w", n.Name, err)
		}
		out.tellers = append(out.tellers, &notify.Teller{
			Name: n.Name, Sink: sink, Policy: policyOf(n), Log: st, Positions: notify.Table{DB: st.DB()}, Now: time.Now, Logger: log, Figures: out.figures,
		})
	}
	return out, nil
}

// openVacancy makes what tells people, at a repairer that stands by, that nobody leads. Three times the life of a lease is longer than any
// change of the leader takes.
func openVacancy(c config.Repairer, log *slog.Logger) (*notify.Vacancy, error) {
	v := &notify.Vacancy{
		Who: "the repairer on " + program.Hostname(), Every: time.Duration(c.Lease.TTL) / 2, After: 3 * time.Duration(c.Lease.TTL), Sinks: map[string]notify.Sink{}, Wants: map[string]notify.Policy{}, Log: log,
	}
	who := entrypoint{c: c, log: log}
	v.Ask = func(ctx context.Context) (bool, string) {
		out := who.lead(ctx)
		why := out.GetWhy()
		for _, n := range out.GetNeeds() {
			if n.GetProblem() != "" {
				why += "; " + n.GetName() + ": " + n.GetProblem()
			}
		}
		return out.GetLeading() == gliav1.Leading_LEADING_SOMEBODY, strings.Join(strings.Fields(why), " ")
	}
	for _, n := range c.Notify {
		sink, err := openSink(n)
		if err != nil {
			return nil, fmt.Errorf("notify %s: %w", n.Name, err)
		}
		v.Sinks[n.Name], v.Wants[n.Name] = sink, policyOf(n)
	}
	return v, nil
}

func openSink(n config.Notify) (notify.Sink, error) {
	if n.Kind == config.NotifyShoutrrr {
		address, err := n.Address.Read()
		if err != nil {
			return nil, err
		}
		return notify.NewShoutrrr(address)
	}
	way, err := program.Outward(n.Proxy, n.CA)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: way, CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("refused: it redirects") }}
	if n.Kind == config.NotifySlackWebhook {
		address, err := n.Webhook.Read()
		return &notify.SlackHook{URL: address, HTTP: client}, err
	}
	token, err := n.Token.Read()
	return &notify.Slack{Token: token, Channel: n.Channel, API: n.API, HTTP: client}, err
}

func policyOf(n config.Notify) notify.Policy {
	p := notify.Policy{Events: n.Events, Group: time.Duration(n.Group), PerHour: n.PerHour}
	p.Severity, _ = notify.ParseSeverity(n.Severity)
	p.Quiet.From, p.Quiet.To, _ = n.Hours()
	p.Digest, _ = n.DigestAt()
	p.Zone, _ = time.LoadLocation(n.Zone)
	return p
}

// run tells until the context ends. It never ends by an error: nothing waits for notices.
func (n notices) run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, t := range n.tellers {
		all.Go(func() { t.Run(ctx) })
	}
	all.Wait()
	<-ctx.Done()
	return nil
}
