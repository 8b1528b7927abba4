package serf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/serf/cmd/serf/command/agent"
	hserf "github.com/hashicorp/serf/serf"
)

// How often seeds are tried that are no members: soon while this member is alone, rarely once it
// has company. The rare attempts heal a cluster that fell apart into several.
const (
	firstRetry   = 500 * time.Millisecond
	aloneRetry   = 30 * time.Second
	companyRetry = 5 * time.Minute
)

// seeds are the addresses that the cluster is found by, and what came of trying them. It is safe
// for concurrent use.
type seeds struct {
	addrs []string // host:port

	mu      sync.Mutex
	err     error // why nobody was reached yet, or is reached any more; nil when all is well
	reached bool  // that this member has been in company once, or needs none
}

func newSeeds(join []string) (*seeds, error) {
	s := &seeds{}
	var errs []error
	for _, addr := range join {
		host, port, err := net.SplitHostPort(addr)
		if err != nil { // without a port
			host, port = strings.Trim(addr, "[]"), strconv.Itoa(agent.DefaultBindPort)
		}
		if n, err := strconv.ParseUint(port, 10, 16); host == "" || strings.ContainsAny(host, " /") || err != nil || n == 0 {
			errs = append(errs, fmt.Errorf("join address %q: must be host or host:port", addr))
		}
		s.addrs = append(s.addrs, net.JoinHostPort(host, port))
	}
	if len(join) == 0 {
		s.reached = true
	} else {
		s.err = fmt.Errorf("joined 0 of %v: not tried yet", s.addrs)
	}
	return s, errors.Join(errs...)
}

func (s *seeds) problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *seeds) everReached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reached
}

// set notes the outcome of one round and says whether it differs in kind from the one before.
func (s *seeds) set(err error) (turned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	turned = (s.err == nil) != (err == nil)
	s.err = err
	s.reached = s.reached || err == nil
	return turned
}

// keepJoined tries every seed that is not an alive member, until ctx ends.
func (a *Agent) keepJoined(ctx context.Context) {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = firstRetry, aloneRetry
	changes := a.company.Subscribe(ctx)
	warned := false
	for ctx.Err() == nil {
		if a.others() > 0 {
			a.noteJoin(nil) // others found us; do not wait for seeds that may never answer
		}
		err := a.joinMissing(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !warned {
			a.log.Warn("alone in the serf cluster; trying on", "node", a.node, "error", err)
		}
		warned = err != nil
		a.noteJoin(err)
		wait := retry.NextBackOff()
		if err == nil {
			retry.Reset()
			wait = companyRetry
		}
		a.rest(ctx, wait, changes)
	}
}

// noteJoin keeps the outcome of a round for Ready and Members.
func (a *Agent) noteJoin(err error) {
	if turned := a.seeds.set(err); turned && err == nil {
		a.log.Info("joined the serf cluster", "node", a.node, "members", a.agent.Serf().NumNodes())
		a.changes.Send() // Members may answer from now on
	}
}

// rest waits until the next round is due, or until this member has found or lost its company.
func (a *Agent) rest(ctx context.Context, wait time.Duration, changes <-chan struct{}) {
	company := a.others() > 0
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-changes:
			now := a.others() > 0
			if len(a.seeds.addrs) > 0 && now != company || now && a.seeds.problem() != nil {
				return
			}
		}
	}
}

// joinMissing tries the seeds that are no alive members. It returns nil when this member has
// company or is the only seed itself.
func (a *Agent) joinMissing(ctx context.Context) error {
	var errs []error
	missing := 0
	for _, seed := range a.seeds.addrs {
		if ctx.Err() != nil || a.isAlive(ctx, seed) {
			continue
		}
		missing++
		if _, err := a.agent.Join([]string{seed}, false); err != nil {
			errs = append(errs, explainJoin(innermost(err))) // names the seed itself
		}
	}
	if missing == 0 || a.others() > 0 {
		return nil
	}
	return fmt.Errorf("joined 0 of %v: %w", a.seeds.addrs, errors.Join(errs...))
}

// isAlive says whether an alive member has the address of the seed; this member counts.
func (a *Agent) isAlive(ctx context.Context, seed string) bool {
	host, port, _ := net.SplitHostPort(seed)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return false // Join will tell
	}
	return slices.ContainsFunc(a.agent.Serf().Members(), func(m hserf.Member) bool {
		return m.Status == hserf.StatusAlive && strconv.Itoa(int(m.Port)) == port && slices.Contains(ips, m.Addr.String())
	})
}

// others counts the alive members beside this one.
func (a *Agent) others() (n int) {
	for _, m := range a.agent.Serf().Members() {
		if m.Name != a.node && m.Status == hserf.StatusAlive {
			n++
		}
	}
	return n
}

// innermost is the cause of an error of Serf's Join, whose own text spreads over several lines.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// explainJoin adds what can be done about an error of Serf's that has no type.
func explainJoin(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "no installed keys could decrypt"):
		return fmt.Errorf("%w: the encryption key of this member is not the cluster's", err)
	case strings.Contains(text, "encryption is not configured"):
		return fmt.Errorf("%w: give this member the encryption key of the cluster", err)
	}
	return err
}
