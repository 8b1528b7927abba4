package zookeeper

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"glia/registry"
	"glia/registry/internal/term"
)

const electionFolder = "election"

// Elector elects a leader by ephemeral sequential nodes: the candidate with the oldest node leads, each other one
// watches the node before its own. The newest epoch is the data of their folder; a leader raises it in a transaction
// that fails when its own node is gone. Each campaign has a session of its own, which ends with its term.
type Elector struct {
	o      Options
	folder string
	holder string
}

var _ registry.Elector = (*Elector)(nil)

// NewElector returns a candidate of the election of that name; holder is who it is, for people.
func NewElector(o Options, name, holder string) (*Elector, error) {
	o, _, err := o.resolve()
	if err != nil {
		return nil, fmt.Errorf("election %s in zookeeper: %w", name, err)
	}
	return &Elector{o: o, folder: path.Join(electionFolder, name), holder: holder}, nil
}

// Lead is part of registry.Elector.
func (e *Elector) Lead(ctx context.Context, above uint64) (registry.Term, error) {
	c := &candidate{Elector: e, above: above, news: make(chan struct{}, 1), id: strings.ToLower(rand.Text())}
	var err error
	if c.client, err = dial(e.o, c.hear); err == nil {
		var t *term.Term
		if t, err = c.run(ctx); err == nil {
			return t, nil
		}
		c.release()
	}
	return nil, fmt.Errorf("stand in the election in zookeeper as %s: %w", e.holder, err)
}

// candidate is one campaign and the term that may come of it.
type candidate struct {
	*Elector
	*client
	above uint64 // the epoch must be
	news  chan struct{}
	id    string // part of the name of our node, so that one whose making was not confirmed is found again
	node  string // path of our node; empty when there is none that we know of

	asked term.Instant // before the question whose answer was that we lead
	epoch uint64       // of the term that begins
}

func (c *candidate) hear(event) {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// run waits until this candidate leads.
func (c *candidate) run(ctx context.Context) (*term.Term, error) {
	told := ""
	for failures := 0; ; {
		stat, leader, err := c.look(ctx)
		switch {
		case ctx.Err() != nil && c.ready() != nil:
			return nil, fmt.Errorf("%w (%w)", context.Cause(ctx), c.ready())
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil && stat != nil:
			return c.lead(stat), nil
		case errors.Is(err, zk.ErrNoAuth), errors.Is(err, zk.ErrInvalidACL), errors.Is(err, zk.ErrAuthFailed):
			return nil, c.explain(err)
		}
		told = waiting(c.o.Waiting, c.log, told, leader, c.explain(err))
		wait := c.wire.sessionTimeout() // a lost watch costs time, never the succession
		if failures++; err != nil {
			wait = min(100*time.Millisecond<<min(failures, 5), wait)
		} else {
			failures = 0
		}
		select {
		case <-ctx.Done():
		case <-c.news:
		case <-time.After(wait):
		}
	}
}

// waiting tells what is waited for, and the log when that has changed.
func waiting(tell func(string), log *slog.Logger, told, leader string, err error) string {
	kind, reason := leader, leader
	if err != nil {
		kind, reason = "away", fmt.Sprintf("zookeeper does not answer: %v", err)
	}
	tell(reason)
	switch {
	case told == kind:
	case err != nil:
		log.Warn("zookeeper is not available for the election, waiting", "error", err)
	default:
		log.Info("another repairer leads, standing by", "leader", leader)
	}
	return kind
}

// look returns the state of our node when this candidate leads, or who does, and has the one before us watched.
func (c *candidate) look(ctx context.Context) (lead *zk.Stat, leader string, err error) {
	type answer struct {
		lead   *zk.Stat
		leader string
	}
	a, err := within(ctx, func() (answer, error) {
		if err := c.await(ctx); err != nil {
			return answer{}, err
		}
		if err := c.makeFolders(electionFolder, c.folder); err != nil {
			return answer{}, err
		}
		for ctx.Err() == nil {
			stat, before, err := c.place()
			if errors.Is(err, zk.ErrNoNode) {
				c.unmade()
			}
			if err != nil || stat != nil {
				return answer{stat, ""}, err
			}
			if _, _, err := c.get(before.watch); errors.Is(err, zk.ErrNoNode) {
				continue // gone in between
			} else if err != nil {
				return answer{}, err
			}
			holder, _, err := c.conn.Get(before.leader)
			if err == nil {
				return answer{nil, string(holder) + " leads"}, nil
			} else if !errors.Is(err, zk.ErrNoNode) {
				return answer{}, err
			}
		}
		return answer{}, context.Cause(ctx)
	})
	return a.lead, a.leader, err
}

// ahead are the paths of candidates before ours: the next one, and the first one, which leads.
type ahead struct{ watch, leader string }

// place finds our node among the candidates, makes it when there is none, and returns its state when it is the first.
func (c *candidate) place() (*zk.Stat, ahead, error) {
	dir := path.Join(c.root, c.folder)
	names, _, err := c.conn.Children(dir)
	if err != nil {
		return nil, ahead{}, err
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(sequence(a), sequence(b)) })
	i := slices.IndexFunc(names, func(n string) bool { return strings.Contains(n, c.id) })
	if i < 0 {
		// Two of them, should this one be made without our being told, are no harm: both are ours.
		_, err := c.conn.Create(path.Join(dir, "candidate_"+c.id+"_"), []byte(c.holder), zk.FlagEphemeral|zk.FlagSequence, c.acl)
		if err != nil {
			return nil, ahead{}, err
		}
		return c.place()
	}
	c.node = path.Join(dir, names[i])
	if i > 0 {
		return nil, ahead{path.Join(dir, names[i-1]), path.Join(dir, names[0])}, nil
	}
	c.asked = term.Now()
	exists, stat, err := c.conn.Exists(c.node)
	if err == nil && (!exists || stat.EphemeralOwner != c.conn.SessionID()) {
		err = zk.ErrNoNode // of a session that is over: it goes away soon
	}
	if err == nil {
		err = c.raise(dir, stat.Version)
	}
	if err != nil {
		return nil, ahead{}, err
	}
	return stat, ahead{}, nil
}

// raise takes a new epoch, unless our node is gone.
func (c *candidate) raise(dir string, version int32) error {
	data, stat, err := c.conn.Get(dir)
	if err != nil {
		return err
	}
	var newest uint64
	if len(data) > 0 {
		if newest, err = strconv.ParseUint(string(data), 10, 63); err != nil {
			return fmt.Errorf("the newest epoch in %s: %w", dir, err)
		}
	}
	c.epoch = max(newest, c.above) + 1
	_, err = c.conn.Multi(&zk.CheckVersionRequest{Path: c.node, Version: version},
		&zk.SetDataRequest{Path: dir, Data: strconv.AppendUint(nil, c.epoch, 10), Version: stat.Version})
	return err
}

// sequence is the number that ZooKeeper puts behind the name of a sequential node, of 10 digits or more.
func sequence(name string) string { return name[strings.LastIndexByte(name, '_')+1:] }

// lead begins the term.
func (c *candidate) lead(stat *zk.Stat) *term.Term {
	return term.Start(term.Lease{
		Epoch: c.epoch, TTL: c.wire.sessionTimeout(), Log: c.log,
		Renew:   func(ctx context.Context) error { return c.confirm(ctx, stat.Czxid) },
		Watch:   func(ctx context.Context) error { return c.wait(ctx, stat.Czxid) },
		Release: func(context.Context) error { c.release(); return nil },
	}, c.asked)
}

// confirm asks whether our node is still there, which also keeps the session.
func (c *candidate) confirm(ctx context.Context, czxid int64) error {
	_, err := within(ctx, func() (struct{}, error) {
		_, stat, err := c.get(c.node)
		if errors.Is(err, zk.ErrNoNode) || err == nil && stat.Czxid != czxid {
			err = term.ErrOver
		}
		return struct{}{}, err
	})
	return err
}

// wait looks at our node whenever there is news.
func (c *candidate) wait(ctx context.Context, czxid int64) error {
	for {
		if err := c.confirm(ctx, czxid); errors.Is(err, term.ErrOver) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.news:
		}
	}
}

// release ends the session, and with it our node.
func (c *candidate) release() { c.close() }
