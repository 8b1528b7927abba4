package repairerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"glia/config"
	"glia/internal/program"
	"glia/repairer/ticket/redmine"
)

// openRedmine makes the tracker in Redmine. An error is one that waiting does not mend.
func openRedmine(ctx context.Context, c config.Redmine, log *slog.Logger) (*redmine.Tracker, error) {
	key, err := c.Key.Read()
	if err != nil {
		return nil, fmt.Errorf("read the key for Redmine: %w", err)
	}
	way, err := program.Outward(c.Proxy, c.CA)
	if err != nil {
		return nil, err
	}
	t, err := redmine.New(redmine.Options{
		URL: c.URL, Key: key, Transport: way, Project: c.Project, Type: c.Type, Priority: c.Priority, Assignee: c.Assignee, Reopen: c.Reopen, Close: c.Close,
		Resolutions: meanings(c.Done, c.WontDo, c.Duplicate, c.CannotReproduce), Settle: time.Duration(c.Settle), Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	var wrong *redmine.Mismatch
	switch err := t.Check(within); {
	case errors.As(err, &wrong):
		return nil, fmt.Errorf("[redmine] and project %s of %s do not fit: %w", c.Project, c.URL, err)
	case err != nil:
		log.Warn("Redmine can not be asked whether the configuration fits, cases wait for it", "url", c.URL, "error", err)
	}
	return t, nil
}
