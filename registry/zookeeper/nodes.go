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
	made    map[string]*made // by the same keys; what it points at is for whoever has the token
	ill     map[string]error // why they are not as they should be
}

// made is what may be there for a key. It outlives every attempt that fails, so that nothing is left behind by one.
type made struct {
	paths []string // of the nodes that were made, and are not known to be gone
	asked []Node   // those whose making was asked for over a connection that broke before the answer
}

// OpenNodes connects in the background. It fails only when the options are wrong; their Path is of no use here.
func OpenNodes(o Options) (*Nodes, error) {
	o, chroot, err := o.resolve()
	if err != nil {
		return nil, fmt.Errorf("open zookeeper for nodes: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &Nodes{chroot: chroot, stop: stop, heal: make(chan struct{}, 1), writing: make(chan struct{}, 1), want: map[string]Node{}, made: map[string]*made{}, ill: map[string]error{}}
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
	if err != nil {
		n.wake()
	}
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
		m := n.made[key]
		if m == nil {
			m = &made{}
			n.made[key] = m
		}
		n.mu.Unlock()
		err := n.settle(m)
		switch {
		case err != nil:
		case wanted:
			err = n.ensure(m, node)
		default:
			err = n.keepOnly(m, "")
		}
		if len(m.paths)+len(m.asked) == 0 {
			n.mu.Lock()
			delete(n.made, key)
			n.mu.Unlock()
		}
		return struct{}{}, err
	})
	return err
}

// settle finds out what has become of the nodes that were asked for without an answer.
func (n *Nodes) settle(m *made) error {
	for len(m.asked) > 0 {
		p, err := n.find(m.asked[0])
		if err != nil {
			return err
		}
		if p != "" {
			m.paths = append(m.paths, p)
		}
		m.asked = m.asked[1:]
	}
	return nil
}

// ensure makes the node of a key what it should be, and then lets go of all others that there are for it.
func (n *Nodes) ensure(m *made, node Node) error {
	for _, p := range m.paths {
		if path.Dir(p) != node.Folder || !node.is(path.Base(p)) {
			continue
		}
		done, err := n.update(p, node.Data)
		if err != nil {
			return err
		}
		if done {
			return n.keepOnly(m, p)
		}
	}
	p, err := n.create(m, node)
	if errors.Is(err, zk.ErrNoNode) {
		if err = n.makePath(node.Folder); err == nil {
			p, err = n.create(m, node)
		}
	}
	if err != nil {
		return err
	}
	if !slices.Contains(m.paths, p) {
		m.paths = append(m.paths, p)
	}
	if _, _, err := n.get(p); err != nil && !errors.Is(err, zk.ErrNoNode) { // watches it
		return err
	}
	return n.keepOnly(m, p)
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

// find looks for a node of this session that no key is known to have; the path is empty when there is none.
func (n *Nodes) find(node Node) (string, error) {
	if _, err := n.conn.Sync(node.Folder); err != nil { // this server may not have heard of it yet
		return "", err
	}
	names, _, err := n.conn.Children(node.Folder)
	if errors.Is(err, zk.ErrNoNode) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var taken []string
	n.mu.Lock()
	for _, m := range n.made {
		taken = append(taken, m.paths...)
	}
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
func (n *Nodes) create(m *made, node Node) (string, error) {
	flags := int32(zk.FlagEphemeral)
	if node.Numbered {
		flags |= zk.FlagSequence
	}
	p := path.Join(node.Folder, node.Name)
	for range tries {
		named, err := n.conn.Create(p, node.Data, flags, n.acl)
		if errors.Is(err, zk.ErrConnectionClosed) {
			m.asked = append(m.asked, node)
		}
		if !errors.Is(err, zk.ErrNodeExists) {
			return named, err
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

// keepOnly removes all nodes of a key but the one that stays; none does when that is empty.
func (n *Nodes) keepOnly(m *made, stays string) error {
	for _, p := range slices.Clone(m.paths) {
		if p == stays {
			continue
		}
		if err := n.delete(p); err != nil {
			return err
		}
		m.paths = slices.DeleteFunc(m.paths, func(x string) bool { return x == p })
	}
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
		for k := range n.made { // also those that were to be removed in vain
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
