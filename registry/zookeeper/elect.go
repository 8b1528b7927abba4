package zookeeper

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"glia/registry"
	"glia/registry/internal/term"
)

const electionFolder = "election"

// Elector elects a leader by ephemeral sequential nodes: the candidate with the oldest node leads, each other one
// watches the node before its own. The token is the number of the transaction that made the node, which grows
// over the whole life of an ensemble, also when the folder is removed. Each campaign has a session of its own,
// which ends with its term.
type Elector struct {
	o      Options
	folder string
	holder string
}

var _ registry.Elector = (*Elector)(nil)

// NewElector returns a candidate of the election of that name; holder is who it is, for people.
func NewElector(o Options, name, holder string) (*Elector, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("election %s in zookeeper: %w", name, err)
	}
	return &Elector{o: o, folder: path.Join(electionFolder, name), holder: holder}, nil
}

// Campaign is part of registry.Elector.
func (e *Elector) Campaign(ctx context.Context) (registry.Leadership, error) {
	c := &candidate{Elector: e, news: make(chan struct{}, 1), id: strings.ToLower(rand.Text())}
	var err error
	if c.client, err = dial(e.o, c.hear); err == nil {
		var t *term.Term
		if t, err = c.run(ctx); err == nil {
			return t, nil
		}
		c.release()
	}
	return nil, fmt.Errorf("campaign in zookeeper as %s: %w", e.holder, err)
}

// candidate is one campaign and the term that may come of it.
type candidate struct {
	*Elector
	*client
	news chan struct{}
	id   string // part of the name of our node, so that one whose making was not confirmed is found again
	node string // path of our node; empty when there is none that we know of

	asked time.Time // before the question whose answer was that we lead
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
		case err != nil && told != err.Error():
			told = err.Error()
			c.log.Warn("zookeeper is not available for the election, waiting", "error", c.explain(err))
		case err == nil && told != leader:
			told = leader
			c.log.Info("another candidate leads, standing by", "leader", leader)
		}
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
				return answer{nil, string(holder)}, nil
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
	c.asked = time.Now()
	exists, stat, err := c.conn.Exists(c.node)
	if err == nil && (!exists || stat.EphemeralOwner != c.conn.SessionID()) {
		err = zk.ErrNoNode // of a session that is over: it goes away soon
	}
	return stat, ahead{}, err
}

// sequence is the number that ZooKeeper puts behind the name of a sequential node, of 10 digits or more.
func sequence(name string) string { return name[strings.LastIndexByte(name, '_')+1:] }

// lead begins the term.
func (c *candidate) lead(stat *zk.Stat) *term.Term {
	token := uint64(stat.Czxid) //nolint:gosec // transactions are numbered from 1 on
	return term.Start(term.Lease{
		Token: token, TTL: c.wire.sessionTimeout(), Log: c.log,
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
