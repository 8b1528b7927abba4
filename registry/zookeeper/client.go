package zookeeper

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"glia/registry"
)

// client is one session of ZooKeeper after the other. It remembers which nodes are watched, because a watch is
// told once and the library would keep every repeated one for ever. It is safe for concurrent use.
type client struct {
	conn *zk.Conn
	wire *wire
	root string
	acl  []zk.ACL
	log  *slog.Logger
	tell func(event) // called in order, before the answer to any later request; must not wait

	mu        sync.Mutex
	connected bool
	up        chan struct{} // closed while connected
	known     chan struct{} // closed once the server knows who we are
	closed    bool
	armed     map[watch]bool
	made      bool // the folders were made in this session, and nobody has missed one since
}

// watch is one watch that the server holds for us.
type watch struct {
	path     string
	children bool
}

// event is what has changed: a node, its list of children, or the session when the path is empty.
type event struct {
	path     string
	children bool
}

// dial begins a session with options that are resolved.
func dial(o Options, tell func(event)) (*client, error) {
	c := &client{root: o.Path, acl: zk.WorldACL(zk.PermAll), log: o.Log, tell: tell, armed: map[watch]bool{}, up: make(chan struct{})}
	c.wire = &wire{tls: o.TLS, timeout: o.SessionTimeout, watched: c.watched, random: rand.N[time.Duration]}
	if o.User != "" {
		c.acl = zk.DigestACL(zk.PermAll, o.User, o.Password)
	}
	var err error
	c.conn, _, err = zk.Connect(zk.FormatServers(o.Servers), o.SessionTimeout, zk.WithDialer(c.wire.dial), zk.WithHostProvider(&rotation{}),
		zk.WithLogInfo(false), zk.WithLogger(logger{o.Log}), zk.WithEventCallback(c.hear))
	if err != nil {
		return nil, err
	}
	c.known = make(chan struct{})
	go c.introduce(o.User, o.Password)
	return c, nil
}

// introduce says to the first session who we are; the library repeats it to each later one before anything else.
func (c *client) introduce(user, password string) {
	for user != "" {
		err := c.conn.AddAuth("digest", []byte(user+":"+password))
		c.mu.Lock()
		closed := c.closed
		c.mu.Unlock()
		if closed {
			return
		}
		if err == nil {
			break
		}
		time.Sleep(patience / 10)
	}
	close(c.known)
}

// hear is called by the library for each event, in their order.
func (c *client) hear(e zk.Event) {
	var told event
	c.mu.Lock()
	switch e.Type {
	case zk.EventSession:
		switch {
		case e.State == zk.StateHasSession && !c.connected:
			c.connected, c.made = true, false
			close(c.up)
		case (e.State == zk.StateDisconnected || e.State == zk.StateExpired) && c.connected:
			c.connected, c.up = false, make(chan struct{})
		default:
			c.mu.Unlock()
			return
		}
	case zk.EventNodeChildrenChanged:
		told = event{e.Path, true}
		delete(c.armed, watch(told))
	default: // created, changed, deleted, or no longer watched because the session is over
		told = event{e.Path, false}
		delete(c.armed, watch{e.Path, false})
		if e.Type == zk.EventNotWatching || e.Type == zk.EventNodeDeleted {
			delete(c.armed, watch{e.Path, true})
		}
	}
	c.mu.Unlock()
	c.tell(told)
	if e.Type == zk.EventNotWatching && told.path != "" {
		c.tell(event{e.Path, true})
	}
}

// arm says whether a watch must be set with the next read, and takes it for set.
func (c *client) arm(path string, children bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := watch{path, children}
	if c.armed[w] {
		return false
	}
	c.armed[w] = true
	return true
}

// watched tells the watches that the server may hold, and perhaps more.
func (c *client) watched() []watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.armed))
}

func (c *client) disarm(path string, children bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.armed, watch{path, children})
}

// get reads a node and watches it. Without a node the error is zk.ErrNoNode, and its creation is watched.
func (c *client) get(path string) ([]byte, *zk.Stat, error) {
	for c.arm(path, false) {
		data, stat, _, err := c.conn.GetW(path)
		if !errors.Is(err, zk.ErrNoNode) {
			if err != nil {
				c.disarm(path, false)
			}
			return data, stat, err
		}
		exists, _, _, err := c.conn.ExistsW(path)
		if err != nil {
			c.disarm(path, false)
			return nil, nil, err
		}
		if !exists {
			return nil, nil, zk.ErrNoNode
		}
	}
	return c.conn.Get(path)
}

// children reads the names below a node and watches them. A node that is not there has none; its creation is
// watched and told as a change of the node.
func (c *client) children(path string) ([]string, error) {
	if c.arm(path, true) {
		names, _, _, err := c.conn.ChildrenW(path)
		if err == nil {
			return names, nil
		}
		c.disarm(path, true)
		if !errors.Is(err, zk.ErrNoNode) {
			return nil, err
		}
		if _, _, err := c.get(path); !errors.Is(err, zk.ErrNoNode) {
			if err == nil {
				return c.children(path) // it was made in between
			}
			return nil, err
		}
		return nil, nil
	}
	names, _, err := c.conn.Children(path)
	return names, err
}

// makeFolders makes the root and the folders below it, once in each session and after unmade.
func (c *client) makeFolders(below ...string) error {
	c.mu.Lock()
	made := c.made
	c.mu.Unlock()
	if made {
		return nil
	}
	for _, b := range append([]string{""}, below...) {
		if err := c.makePath(path.Join(c.root, b)); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.made = true
	c.mu.Unlock()
	return nil
}

// unmade notes that somebody has removed the folders, or one of them.
func (c *client) unmade() {
	c.mu.Lock()
	c.made = false
	c.mu.Unlock()
}

// makePath makes a folder with those above it.
func (c *client) makePath(folder string) error {
	var all []string
	for p := folder; p != "/"; p = path.Dir(p) {
		all = append(all, p)
	}
	for _, p := range slices.Backward(all) {
		if ok, _, err := c.conn.Exists(p); err != nil {
			return fmt.Errorf("look for %s: %w", p, err)
		} else if ok {
			continue
		}
		if _, err := c.conn.Create(p, nil, 0, c.acl); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return fmt.Errorf("make %s: %w", p, err)
		}
	}
	return nil
}

// ready says why there is no session, or nil.
func (c *client) ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return registry.ErrClosed
	case c.connected:
		return nil
	}
	return fmt.Errorf("no session with any of its servers: %w", cmp.Or(c.wire.problem(), errors.New("not connected yet")))
}

// patience is how long a call waits for a session that is not there, as at the start or after a short interruption.
const patience = 3 * time.Second

// await waits a while for a session, and says why there is none.
func (c *client) await(ctx context.Context) error {
	c.mu.Lock()
	up, closed := c.up, c.closed
	c.mu.Unlock()
	if closed {
		return registry.ErrClosed
	}
	limit := time.After(patience)
	for _, wanted := range []chan struct{}{up, c.known} {
		select {
		case <-wanted:
		case <-ctx.Done():
			return cmp.Or(c.ready(), context.Cause(ctx))
		case <-limit:
			return cmp.Or(c.ready(), errors.New("the server does not take our credentials"))
		}
	}
	return c.ready()
}

func (c *client) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.conn.Close()
}

// within runs what can not be cut off, and stops waiting for it when ctx is done. It goes on in the background
// then, for as long as the connection answers or the session timeout lasts.
func within[T any](ctx context.Context, do func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := do()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// explain adds what can be done about an error of ZooKeeper.
func (c *client) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, zk.ErrNoAuth), errors.Is(err, zk.ErrAuthFailed), errors.Is(err, zk.ErrInvalidACL):
		return fmt.Errorf("%w: the nodes below %s belong to another user; use the credentials of those who made them", err, c.root)
	}
	if r := c.ready(); r != nil {
		return r
	}
	return err
}

// Options configure a Registry or an Elector.
type Options struct {
	Servers        []string      // host or host:port, the port defaults to 2181; see Chroot for a folder behind them
	Path           string        // absolute path that everything is kept below, in the chroot if there is one; empty is /glia
	SessionTimeout time.Duration // after it a crashed announcer is gone; 0 is 15 s; the server may change it
	User, Password string        // digest credentials; with them nobody else may read or write what is made; empty for none
	TLS            *tls.Config   // nil is plain TCP
	Forget         time.Duration // how long watchers show a host that is not alive; 0 is 24 h
	Log            *slog.Logger  // nil discards

	// Waiting is told what an Elector waits for, at each look until it leads. It may be nil.
	Waiting func(reason string)
}

// resolve checks the options, fills in the defaults, and puts the path below the chroot, which it returns.
func (o Options) resolve() (_ Options, chroot string, err error) {
	o.Path = cmp.Or(o.Path, "/glia")
	o.SessionTimeout = cmp.Or(o.SessionTimeout, 15*time.Second)
	o.Forget = cmp.Or(o.Forget, 24*time.Hour)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Waiting == nil {
		o.Waiting = func(string) {}
	}
	if len(o.Servers) == 0 {
		return o, "", errors.New("no servers are named")
	}
	if !absolute(o.Path) {
		return o, "", fmt.Errorf("path %q: must be absolute and not the root, such as /glia", o.Path)
	}
	if o.Servers, chroot, err = Chroot(o.Servers); err != nil {
		return o, "", err
	}
	o.Path = path.Join("/", chroot, o.Path)
	return o, chroot, nil
}

func absolute(p string) bool { return strings.HasPrefix(p, "/") && p != "/" && path.Clean(p) == p }

// Chroot splits a folder off servers that stands for the root, as ZooKeeper's own clients take it: host:port/folder, behind the
// last of them or behind each. Without one the folder is empty.
func Chroot(servers []string) (plain []string, folder string, err error) {
	behind := map[string]int{}
	for _, s := range servers {
		host, f, found := strings.Cut(s, "/")
		plain = append(plain, host)
		if !found {
			continue
		}
		if folder = "/" + f; host == "" || !absolute(folder) {
			return nil, "", fmt.Errorf("server %q: behind it must be a folder other than the root, as in zk-1:2181/prod", s)
		}
		behind[folder]++
	}
	if n := behind[folder]; len(behind) > 1 || n > 1 && n < len(servers) || n == 1 && !strings.HasSuffix(servers[len(servers)-1], folder) {
		return nil, "", fmt.Errorf("servers %s: write one folder behind the last of them, or the same behind each", strings.Join(servers, ", "))
	}
	return plain, folder, nil
}

// logger passes what the library says on to the log of the program, where it matters to developers only.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.log.Debug("zookeeper client says", "text", fmt.Sprintf(format, args...))
}
