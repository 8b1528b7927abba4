package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// Node is an ephemeral node that somebody else reads, such as the announcement of a service.
type Node struct {
	Folder string // absolute path; made when it is missing
	Name   string // when Numbered, the beginning of it
	Data   []byte

	// Numbered has ZooKeeper add a number to the name, higher than that of every node made in the folder before.
	Numbered bool
}

func (n Node) check() error {
	if !strings.HasPrefix(n.Folder, "/") || n.Folder == "/" || path.Clean(n.Folder) != n.Folder {
		return fmt.Errorf("folder %q: must be an absolute path, such as /nerve/services/web/services", n.Folder)
	}
	if n.Name == "" || strings.ContainsAny(n.Name, "/\x00") {
		return fmt.Errorf("name %q: can not be that of a node", n.Name)
	}
	return nil
}

// Nodes keeps nodes in one session. It guarantees that one whose session has expired, or that somebody has removed or
// changed, is put right at once and without being asked; that nothing is written when nothing changes; and that a node
// which gets another name is there under the new one before it goes under the old one. The nodes of a process that is
// killed are gone after the session timeout. It is safe for concurrent use.
type Nodes struct {
	*client
	chroot string // that all folders are below; empty for none
	stop   context.CancelFunc
	healer sync.WaitGroup
	heal   chan struct{}

	writing chan struct{} // holds one token: one reconciliation at a time
	mu      sync.Mutex
	want    map[string]Node
	paths   map[string]string // of the nodes that were made, by the same keys
	ill     map[string]error  // why they are not as they should be
}

// OpenNodes connects in the background. It fails only when the options are wrong; their Path is of no use here.
func OpenNodes(o Options) (*Nodes, error) {
	o, chroot, err := o.resolve()
	if err != nil {
		return nil, fmt.Errorf("open zookeeper for nodes: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &Nodes{chroot: chroot, stop: stop, heal: make(chan struct{}, 1), writing: make(chan struct{}, 1), want: map[string]Node{}, paths: map[string]string{}, ill: map[string]error{}}
	c, err := dial(o, func(event) { n.wake() })
	if err != nil {
		stop()
		return nil, fmt.Errorf("open zookeeper for nodes: %w", err)
	}
	if o.User != "" {
		c.acl = append(c.acl, zk.WorldACL(zk.PermRead)...) // what is made here is for others to read
	}
	n.client = c
	n.healer.Go(func() { n.keep(ctx) })
	return n, nil
}

func (n *Nodes) wake() {
	select {
	case n.heal <- struct{}{}:
	default:
	}
}

// Ready says why there is no session, or which nodes are not as they should be; else nil.
func (n *Nodes) Ready() error {
	if err := n.ready(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []error
	for _, k := range slices.Sorted(maps.Keys(n.ill)) {
		all = append(all, fmt.Errorf("node of %s: %w", k, n.ill[k]))
	}
	return errors.Join(all...)
}

// Problem says why the node of a key is not as it should be: there is no session, or something is wrong with the node; else nil.
func (n *Nodes) Problem(key string) error {
	if err := n.ready(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ill[key]
}

// Put keeps a node from now on, in the place of the one that the key had before. After an error it is tried again until
// it succeeds, or until Remove.
func (n *Nodes) Put(ctx context.Context, key string, node Node) error {
	if err := node.check(); err != nil {
		return fmt.Errorf("keep a node in zookeeper: %w", err)
	}
	node.Folder, node.Data = path.Join("/", n.chroot, node.Folder), slices.Clone(node.Data)
	n.mu.Lock()
	n.want[key] = node
	n.mu.Unlock()
	if err := n.apply(ctx, key); err != nil {
		return fmt.Errorf("keep node %s in zookeeper: %w", path.Join(node.Folder, node.Name), n.explain(err))
	}
	return nil
}

// Remove takes the node of the key away. A key that there is none of is no error. After an error it is tried again.
func (n *Nodes) Remove(ctx context.Context, key string) error {
	n.mu.Lock()
	delete(n.want, key)
	n.mu.Unlock()
	if err := n.apply(ctx, key); err != nil {
		return fmt.Errorf("remove the node of %s from zookeeper: %w", key, n.explain(err))
	}
	return nil
}

// Close takes all nodes away and ends the session. When ctx ends before, they go with the session timeout. Closing again
// does nothing.
func (n *Nodes) Close(ctx context.Context) error {
	n.stop()
	n.healer.Wait()
	_, err := within(ctx, func() (struct{}, error) { n.close(); return struct{}{}, nil }) // ephemeral nodes go with the session
	return err
}

// apply brings the node of a key in line with what is wanted. What does not succeed is tried again by keep.
func (n *Nodes) apply(ctx context.Context, key string) error {
	err := n.try(ctx, key)
	if ctx.Err() != nil {
		return err
	}
	n.mu.Lock()
	_, was := n.ill[key]
	if delete(n.ill, key); err != nil && n.ready() == nil {
		n.ill[key] = n.explain(err)
	}
	is := n.ill[key]
	n.mu.Unlock()
	switch {
	case is != nil && !was:
		n.log.Warn("node in zookeeper is not as it should be, trying again", "node", key, "error", is)
	case err == nil && was:
		n.log.Info("node in zookeeper is as it should be", "node", key)
	}
	if err != nil {
		n.wake()
	}
	return err
}

func (n *Nodes) try(ctx context.Context, key string) error {
	_, err := within(ctx, func() (struct{}, error) {
		select {
		case n.writing <- struct{}{}:
			defer func() { <-n.writing }()
		case <-ctx.Done():
			return struct{}{}, context.Cause(ctx)
		}
		if err := n.await(ctx); err != nil {
			return struct{}{}, err
		}
		n.mu.Lock()
		node, wanted := n.want[key]
		old := n.paths[key]
		n.mu.Unlock()
		if !wanted {
			return struct{}{}, n.remove(key, old)
		}
		return struct{}{}, n.ensure(key, node, old)
	})
	return err
}

// ensure makes the node of a key what it should be; old is the path of the one that was made before, empty for none.
func (n *Nodes) ensure(key string, node Node, old string) error {
	if old != "" && path.Dir(old) == node.Folder && node.is(path.Base(old)) {
		done, err := n.update(old, node.Data)
		if done || err != nil {
			return err
		}
	}
	now, err := n.find(node)
	if errors.Is(err, zk.ErrNoNode) {
		if err = n.makePath(node.Folder); err == nil {
			now, err = "", nil
		}
	}
	if err == nil && now != "" {
		done, uerr := n.update(now, node.Data)
		if err = uerr; !done {
			now = ""
		}
	}
	if err == nil && now == "" {
		now, err = n.create(node)
	}
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.paths[key] = now
	n.mu.Unlock()
	if _, _, err := n.get(now); err != nil && !errors.Is(err, zk.ErrNoNode) { // watches it
		return err
	}
	if old != "" && old != now {
		return n.delete(old)
	}
	return nil
}

// is says whether a node that the server has named so is this one.
func (n Node) is(name string) bool {
	if !n.Numbered {
		return name == n.Name
	}
	rest, ok := strings.CutPrefix(name, n.Name)
	return ok && len(rest) >= 10 && strings.Trim(rest, "0123456789") == "" // %010d: PrepRequestProcessor of ZooKeeper
}

// update makes a node of this session hold the data. Done is false when it is not there, or not of this session.
func (n *Nodes) update(p string, data []byte) (done bool, err error) {
	has, stat, err := n.get(p)
	if err == nil && stat.EphemeralOwner == n.conn.SessionID() {
		if string(has) != string(data) {
			_, err = n.conn.Set(p, data, -1)
		}
		done = err == nil
	}
	if errors.Is(err, zk.ErrNoNode) {
		err = nil
	}
	return done, err
}

// find looks for a node of this session whose making was not confirmed.
func (n *Nodes) find(node Node) (string, error) {
	names, _, err := n.conn.Children(node.Folder)
	if err != nil {
		return "", err
	}
	n.mu.Lock()
	taken := slices.Collect(maps.Values(n.paths))
	n.mu.Unlock()
	for _, name := range names {
		p := path.Join(node.Folder, name)
		if !node.is(name) || slices.Contains(taken, p) {
			continue
		}
		exists, stat, err := n.conn.Exists(p)
		if err != nil {
			return "", err
		}
		if exists && stat.EphemeralOwner == n.conn.SessionID() {
			return p, nil
		}
	}
	return "", nil
}

// create makes a node. A plain one that another session holds with the same data was ours, before a crash or an expired
// session.
func (n *Nodes) create(node Node) (string, error) {
	flags := int32(zk.FlagEphemeral)
	if node.Numbered {
		flags |= zk.FlagSequence
	}
	p := path.Join(node.Folder, node.Name)
	for range tries {
		made, err := n.conn.Create(p, node.Data, flags, n.acl)
		if !errors.Is(err, zk.ErrNodeExists) {
			return made, err
		}
		has, stat, err := n.conn.Get(p)
		if err == nil && string(has) != string(node.Data) {
			return "", fmt.Errorf("somebody else holds it with other data: %.200q", has)
		}
		if err == nil {
			err = n.conn.Delete(p, stat.Version)
		}
		if err != nil && !errors.Is(err, zk.ErrNoNode) && !errors.Is(err, zk.ErrBadVersion) {
			return "", err
		}
	}
	return "", errors.New("it changes all the time; is it kept by two?")
}

func (n *Nodes) remove(key, p string) error {
	if p == "" {
		return nil
	}
	if err := n.delete(p); err != nil {
		return err
	}
	n.mu.Lock()
	delete(n.paths, key)
	n.mu.Unlock()
	return nil
}

// delete removes a node, unless it belongs to somebody else by now.
func (n *Nodes) delete(p string) error {
	exists, stat, err := n.conn.Exists(p)
	if err != nil || !exists || stat.EphemeralOwner != n.conn.SessionID() {
		return err
	}
	if err := n.conn.Delete(p, -1); !errors.Is(err, zk.ErrNoNode) {
		return err
	}
	return nil
}

// keep puts right whatever has happened to the nodes.
func (n *Nodes) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.heal:
		}
		n.mu.Lock()
		keys := map[string]bool{}
		for k := range n.want {
			keys[k] = true
		}
		for k := range n.paths { // also those that were to be removed in vain
			keys[k] = true
		}
		n.mu.Unlock()
		failed := false
		for k := range keys {
			failed = n.apply(ctx, k) != nil || failed
		}
		if !failed {
			continue
		}
		select { // without a session each try has waited for one already
		case <-ctx.Done():
			return
		case <-time.After(time.Second + rand.N(time.Second)):
		}
	}
}
