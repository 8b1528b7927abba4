package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-zookeeper/zk"

	"glia/registry"
)

var _ registry.Observer = (*Elector)(nil)

// Leader is part of registry.Observer. It has a session of its own, and makes nothing.
func (e *Elector) Leader(ctx context.Context) (registry.Leader, error) {
	c, err := dial(e.o, func(event) {})
	if err != nil {
		return registry.Leader{}, fmt.Errorf("ask zookeeper who leads: %w", err)
	}
	defer c.close()
	l, err := within(ctx, func() (registry.Leader, error) {
		if err := c.await(ctx); err != nil {
			return registry.Leader{}, err
		}
		return c.leader(path.Join(c.root, e.folder))
	})
	if err != nil {
		return l, fmt.Errorf("ask zookeeper who leads: %w", c.explain(err))
	}
	return l, nil
}

// leader reads the folder of an election. The sync before goes through the leading server, and so needs a quorum.
func (c *client) leader(dir string) (registry.Leader, error) {
	if _, err := c.conn.Sync(dir); err != nil {
		return registry.Leader{}, err
	}
	data, _, err := c.conn.Get(dir)
	if errors.Is(err, zk.ErrNoNode) {
		return registry.Leader{}, nil // nobody stood in it yet
	}
	var l registry.Leader
	if err == nil && len(data) > 0 {
		l.Epoch, err = strconv.ParseUint(string(data), 10, 63)
	}
	if err != nil {
		return l, fmt.Errorf("the newest epoch in %s: %w", dir, err)
	}
	names, _, err := c.conn.Children(dir)
	if err != nil || len(names) == 0 {
		return l, err
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(sequence(a), sequence(b)) })
	holder, _, err := c.conn.Get(path.Join(dir, names[0]))
	if errors.Is(err, zk.ErrNoNode) {
		return l, nil // it has just gone
	}
	l.Holder = string(holder)
	return l, err
}
