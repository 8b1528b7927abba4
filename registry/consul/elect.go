package consul

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"glia/registry"
	"glia/registry/internal/term"
)

// lockDelay keeps others from the lock for a while after the session of its holder was ended by somebody, so that the
// holder is told before.
const lockDelay = 2 * time.Second

// Elector elects a leader by a lock on one key, which is never deleted. Its value holds the newest epoch and who had
// it; a candidate raises it in the transaction that takes the lock. Each campaign has a session of its own, which
// ends with its term.
type Elector struct {
	*client
	lock   string
	holder string
}

var _ registry.Elector = (*Elector)(nil)

// NewElector returns a candidate of the election of that name; holder is who it is, for people.
func NewElector(o Options, name, holder string) (*Elector, error) {
	c, err := dial(o.withDefaults(), "glia election "+name+": "+holder)
	if err != nil {
		return nil, fmt.Errorf("election %s in consul: %w", name, err)
	}
	return &Elector{client: c, lock: c.key("election", name), holder: holder}, nil
}

// Lead is part of registry.Elector.
func (e *Elector) Lead(ctx context.Context, above uint64) (registry.Term, error) {
	c := &candidate{Elector: e, above: above}
	t, err := c.run(ctx)
	if err != nil {
		err = errors.Join(err, c.release(context.WithoutCancel(ctx)))
		return nil, fmt.Errorf("stand in the election in consul as %s: %w", e.holder, err)
	}
	return t, nil
}

// candidate is one campaign and the term that may come of it.
type candidate struct {
	*Elector
	above   uint64 // the epoch must be
	session string // empty when there is none
	index   uint64 // to wait for
	ours    []byte // the value under our lock

	asked term.Instant // before the renewal after which we had the lock
}

// run waits until this candidate leads.
func (c *candidate) run(ctx context.Context) (*term.Term, error) {
	told := ""
	for failures := 0; ; {
		epoch, leader, err := c.look(ctx)
		switch {
		case ctx.Err() != nil && err != nil:
			return nil, fmt.Errorf("%w (%s)", context.Cause(ctx), cmp.Or(told, away))
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil && epoch > 0:
			return c.lead(epoch), nil
		case permanent(err):
			return nil, c.explain(err)
		case err != nil || leader != "":
			told = c.waiting(told, leader, c.explain(err))
		}
		if failures++; err == nil && leader != "" {
			failures = 0
			c.await(ctx)
			continue
		}
		// The lock is free, and others want it too, or its delay is not over; or Consul does not answer.
		pause(ctx, backoff(failures/4))
	}
}

const away = "consul does not answer"

// waiting tells what is waited for, and the log when that has changed.
func (c *candidate) waiting(told, leader string, err error) string {
	kind, reason := leader, leader
	if err != nil {
		kind, reason = away, fmt.Sprintf("%s: %v", away, err)
	}
	c.o.Waiting(reason)
	switch {
	case told == kind:
	case err != nil:
		c.o.Log.Warn("consul is not available for the election, waiting", "error", err)
	default:
		c.o.Log.Info("another repairer leads, standing by", "leader", leader)
	}
	return kind
}

// permanent says whether waiting can not help.
func permanent(err error) bool {
	return err != nil && (forbidden(err) || strings.Contains(err.Error(), "Invalid Session TTL"))
}

// value is what the key holds.
type value struct {
	Epoch  uint64 `json:"epoch"`
	Holder string `json:"holder"`
}

// look takes the lock if it is free. It returns the epoch, or who leads, or neither when the lock is free but not to be
// had yet.
func (c *candidate) look(ctx context.Context) (epoch uint64, leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	kv, meta, err := c.api.KV().Get(c.lock, c.read(ctx))
	if err != nil {
		return 0, "", err
	}
	c.index = meta.LastIndex
	var last value
	unchanged := &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: c.lock}
	if kv != nil {
		if err := json.Unmarshal(kv.Value, &last); err != nil {
			return 0, "", fmt.Errorf("the newest epoch in key %s: %w", c.lock, err)
		}
		if kv.Session != "" && kv.Session != c.session {
			return 0, fmt.Sprintf("%s leads under epoch %d", last.Holder, last.Epoch), c.renewOwn(ctx)
		}
		unchanged = &api.KVTxnOp{Verb: api.KVCheckIndex, Key: c.lock, Index: kv.ModifyIndex}
	}
	if c.session == "" {
		if c.session, err = c.newSession(ctx, lockDelay); err != nil {
			return 0, "", err
		}
	}
	c.ours, err = json.Marshal(value{max(last.Epoch, c.above) + 1, c.holder})
	if err != nil {
		return 0, "", err
	}
	won, answer, _, err := c.api.KV().Txn(api.KVTxnOps{unchanged, {Verb: api.KVLock, Key: c.lock, Value: c.ours, Session: c.session}}, c.read(ctx))
	if err != nil || !won {
		if strings.Contains(fmt.Sprint(err)+refusals(answer), "invalid session") {
			c.session, err = "", nil
		}
		return 0, "", err
	}
	return max(last.Epoch, c.above) + 1, "", c.confirm(ctx)
}

func refusals(answer *api.KVTxnResponse) (all string) {
	if answer != nil {
		for _, e := range answer.Errors {
			all += e.What + "; "
		}
	}
	return all
}

// confirm makes sure that we have the lock after a renewal, so that the lease counts from then on.
func (c *candidate) confirm(ctx context.Context) error {
	c.asked = term.Now()
	err := c.renew(ctx, c.session)
	if errors.Is(err, errNoSession) {
		c.session = ""
	}
	if err != nil {
		return err
	}
	kv, _, err := c.api.KV().Get(c.lock, c.read(ctx))
	if err == nil && (kv == nil || kv.Session != c.session) {
		err = errors.New("the lock was lost as soon as it was taken")
	}
	return err
}

// renewOwn keeps the session that an attempt has left, so that there is never more than one.
func (c *candidate) renewOwn(ctx context.Context) error {
	if c.session == "" {
		return nil
	}
	err := c.renew(ctx, c.session)
	if errors.Is(err, errNoSession) {
		c.session, err = "", nil
	}
	return err
}

// await waits for news of the lock; every TTL at least it returns, to renew.
func (c *candidate) await(ctx context.Context) {
	wait := min(waitTime, c.o.TTL/3)
	ctx, cancel := context.WithTimeout(ctx, wait+wait/16+callTimeout)
	defer cancel()
	q := c.wait(ctx, c.index)
	q.WaitTime = wait
	if _, _, err := c.api.KV().Get(c.lock, q); err != nil {
		pause(ctx, backoff(0)) // the next look tells what is wrong
	}
}

// lead begins the term.
func (c *candidate) lead(epoch uint64) *term.Term {
	return term.Start(term.Lease{
		Epoch: epoch, TTL: c.o.TTL, Log: c.o.Log,
		Renew: func(ctx context.Context) error {
			err := c.renew(ctx, c.session)
			if errors.Is(err, errNoSession) {
				err = term.ErrOver
			}
			return err
		},
		Watch:   c.watch,
		Release: c.release,
	}, c.asked)
}

// watch waits until somebody else has the lock, or nobody.
func (c *candidate) watch(ctx context.Context) error {
	var index uint64
	for failures := 0; ctx.Err() == nil; {
		attempt, cancel := context.WithTimeout(ctx, waitTimeout)
		kv, meta, err := c.api.KV().Get(c.lock, c.wait(attempt, index))
		cancel()
		if failures++; err != nil {
			pause(ctx, backoff(failures))
			continue
		}
		failures, index = 0, next(index, meta.LastIndex)
		if kv == nil || kv.Session != c.session {
			return term.ErrOver
		}
	}
	return nil
}

// release frees the lock at once, and ends the session. The key stays.
func (c *candidate) release(ctx context.Context) error {
	if c.session == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, _, err := c.api.KV().Release(&api.KVPair{Key: c.lock, Value: c.ours, Session: c.session}, c.write(ctx))
	return c.explain(errors.Join(err, c.destroy(ctx, c.session)))
}
