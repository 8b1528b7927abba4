package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"glia/registry/smartstack"
	"glia/synapse/service"
)

// ZooKeepers is one session with an ensemble that any number of services share. Run must be running for their sources to work.
type ZooKeepers struct {
	o ZooKeeperOptions

	mu      sync.Mutex
	conn    *zk.Conn // nil without a session
	why     error    // there is none
	folders watchers // of lists and their nodes

	settingsOf watchers // of settings
}

// watchers are those who have read something, by its path.
type watchers map[string]map[*folder]struct{}

func (w watchers) add(path string, f *folder) {
	if w[path] == nil {
		w[path] = map[*folder]struct{}{}
	}
	w[path][f] = struct{}{}
}

func (w watchers) remove(path string, f *folder) {
	if delete(w[path], f); len(w[path]) == 0 {
		delete(w, path)
	}
}

// ZooKeeperOptions say how an ensemble is reached. Servers is required.
type ZooKeeperOptions struct {
	Servers  []string      // host or host:port
	Root     string        // folder that all paths are below; empty for none
	Timeout  time.Duration // of the session; 0 is 15 s
	User     string        // of the digest scheme; empty for nobody
	Password string
	TLS      *tls.Config // nil: not encrypted
	Log      *slog.Logger
}

// NewZooKeepers makes one.
func NewZooKeepers(o ZooKeeperOptions) *ZooKeepers {
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Servers = zk.FormatServers(o.Servers)
	return &ZooKeepers{o: o, folders: watchers{}, settingsOf: watchers{}, why: fmt.Errorf("zookeeper %v: no connection yet", o.Servers)}
}

// zkSilent is a logger that says nothing: what matters is told by the observations.
type zkSilent struct{}

func (zkSilent) Printf(string, ...any) {}

// Run connects again and again until ctx is done. Each connection is a session of its own: nothing of ours outlives one, and the library
// then has no watches to set again.
func (z *ZooKeepers) Run(ctx context.Context) error {
	wait := 100 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := z.session(ctx)
		if time.Since(began) > 10*z.o.Timeout {
			wait = 100 * time.Millisecond
		}
		z.set(ctx, nil, err)
		select {
		case <-ctx.Done():
		case <-time.After(wait + rand.N(wait)):
		}
		wait = min(2*wait, 5*time.Second)
	}
	return nil
}

// connectWithin is how long a server may take to give a session, before another one is tried.
const connectWithin = 5 * time.Second

// session serves one connection until it is lost.
func (z *ZooKeepers) session(ctx context.Context) error {
	states := make(chan zk.State, 16)
	hear := func(s zk.State) {
		select {
		case states <- s:
		default: // those before it are taken soon, and one that matters is among them
		}
	}
	var dialed sync.Once
	dial := func(network, addr string, timeout time.Duration) (net.Conn, error) {
		var c net.Conn
		err := errors.New("a lost connection is not made again in the same session")
		dialed.Do(func() { c, err = z.dial(network, addr, timeout) })
		if err != nil {
			hear(zk.StateDisconnected)
		}
		return c, err
	}
	servers := slices.Clone(z.o.Servers)
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	conn, _, err := zk.Connect(servers[:1], z.o.Timeout, zk.WithDialer(dial), zk.WithLogInfo(false), zk.WithLogger(zkSilent{}), zk.WithEventCallback(func(e zk.Event) {
		if e.Type == zk.EventSession {
			hear(e.State)
			return
		}
		z.changed(e.Type, e.Path)
	}))
	if err != nil {
		return fmt.Errorf("zookeeper: %w", err)
	}
	defer conn.Close()
	limit := time.NewTimer(min(z.o.Timeout, connectWithin))
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("zookeeper %s gives no session", servers[0])
		case s := <-states:
			switch s {
			case zk.StateHasSession:
				limit.Stop()
				if z.o.User != "" {
					if err := conn.AddAuth("digest", []byte(z.o.User+":"+z.o.Password)); err != nil {
						return fmt.Errorf("zookeeper %s: present user %s: %w", servers[0], z.o.User, err)
					}
				}
				z.set(ctx, conn, nil)
			case zk.StateDisconnected, zk.StateExpired, zk.StateAuthFailed:
				return fmt.Errorf("zookeeper %s: connection is lost", servers[0])
			}
		}
	}
}

func (z *ZooKeepers) dial(network, addr string, timeout time.Duration) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout}
	if z.o.TLS != nil {
		return tls.DialWithDialer(d, network, addr, z.o.TLS)
	}
	return d.Dial(network, addr)
}

// set takes a session over, and lets all services read in it.
func (z *ZooKeepers) set(ctx context.Context, conn *zk.Conn, why error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if conn == nil && z.conn != nil && ctx.Err() == nil {
		z.o.Log.Warn("zookeeper does not answer; services keep their backends", "servers", z.o.Servers, "error", why)
	}
	if conn != nil {
		z.o.Log.Info("zookeeper answers", "servers", z.o.Servers)
	}
	z.conn, z.why = conn, why
	for _, fs := range z.folders {
		for f := range fs {
			f.stale("", everything)
		}
	}
}

// changed tells those who have read it of a node that is not what it was. What holds settings and announcements is asked for that of them
// that has changed.
func (z *ZooKeepers) changed(what zk.EventType, p string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for f := range z.folders[p] {
		if what != zk.EventNodeDataChanged {
			f.stale("", list)
		}
	}
	if what != zk.EventNodeChildrenChanged {
		for f := range z.settingsOf[p] {
			f.staleSettings()
		}
	}
	for f := range z.folders[path.Dir(p)] {
		f.stale(path.Base(p), nodes)
	}
}

// Service is the source of one service, whose nodes are in the folder. Of server sets it takes the endpoint of that name. Its settings
// are in the node of that path; an empty path says that there are none.
func (z *ZooKeepers) Service(folder, endpoint, settings string) Source {
	if settings != "" {
		settings = path.Join("/", z.o.Root, settings)
	}
	return zkService{z, path.Join("/", z.o.Root, folder), endpoint, settings}
}

type zkService struct {
	*ZooKeepers
	path, endpoint string
	settings       string // path of their node; empty for none
}

// folder is what was read of one path.
type folder struct {
	mu    sync.Mutex
	old   map[string]bool // nodes to be read again
	what  staleness
	said  bool // the settings have changed
	wake  chan struct{}
	names []string        // what Run read last; it alone touches it
	nodes map[string]node // by name
	set   Settings
}

// node is one announcement, or why it is none.
type node struct {
	smartstack.Service
	bad string
}

// staleness is how much of a folder is to be read again. What is not has a watch, and is not asked for, because a second watch would be
// kept beside the first.
type staleness int

const (
	nodes staleness = iota
	list
	everything
)

func (f *folder) stale(name string, what staleness) {
	f.mu.Lock()
	f.what = max(f.what, what)
	if name != "" {
		f.old[name] = true
	}
	f.mu.Unlock()
	f.rouse()
}

func (f *folder) staleSettings() {
	f.mu.Lock()
	f.said = true
	f.mu.Unlock()
	f.rouse()
}

func (f *folder) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run follows the path.
func (s zkService) Run(ctx context.Context, tell func(Observation)) {
	f := &folder{old: map[string]bool{}, wake: make(chan struct{}, 1), nodes: map[string]node{}}
	s.mu.Lock()
	s.folders.add(s.path, f)
	if s.settings != "" {
		s.settingsOf.add(s.settings, f)
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.folders.remove(s.path, f)
		s.settingsOf.remove(s.settings, f)
	}()
	f.stale("", everything)
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		s.mu.Lock()
		conn, why := s.conn, s.why
		s.mu.Unlock()
		if conn == nil {
			tell(Observation{Err: why})
			continue
		}
		o := s.read(conn, f)
		if o.Err != nil {
			f.stale("", everything)
			select { // the session that is lost says so itself; this is for everything else
			case <-ctx.Done():
				return
			case <-time.After(100*time.Millisecond + rand.N(100*time.Millisecond)):
			}
		}
		tell(o)
	}
}

// readers bounds how many nodes of one service are asked for at one time.
const readers = 8

// read reads what is stale.
func (s zkService) read(conn *zk.Conn, f *folder) (o Observation) {
	f.mu.Lock()
	old, what, said := f.old, f.what, f.said
	f.old, f.what, f.said = map[string]bool{}, nodes, false
	f.mu.Unlock()
	if what == everything {
		f.names = nil
		clear(f.nodes)
	}
	if what >= list {
		there, err := s.list(conn, f)
		if err != nil {
			return Observation{Err: fmt.Errorf("zookeeper %s: %w", s.path, err)}
		}
		f.names = there
	}
	if err := s.readNodes(conn, f, old); err != nil {
		return Observation{Err: fmt.Errorf("zookeeper %s: %w", s.path, err)}
	}
	if said || what >= everything {
		var err error
		if f.set, err = s.readSettings(conn); err != nil {
			return Observation{Err: fmt.Errorf("zookeeper %s: %w", s.settings, err)}
		}
	}
	o.Settings = f.set
	for _, name := range f.names {
		n, ok := f.nodes[name]
		if n.bad != "" {
			o.Skipped = append(o.Skipped, s.path+"/"+name+": "+n.bad)
		}
		if !ok || n.bad != "" || n.Down {
			continue
		}
		b := service.FromAnnouncement(n.Service, nil)
		if _, number, numbered, err := smartstack.ParseName(name); err == nil && numbered {
			b.ID = &number
		}
		o.Backends = append(o.Backends, b)
	}
	return o
}

// readSettings reads the settings. A node that is not there has none, and a watch tells when it comes.
func (s zkService) readSettings(conn *zk.Conn) (Settings, error) {
	if s.settings == "" {
		return Settings{}, nil
	}
	for {
		data, _, _, err := conn.GetW(s.settings)
		switch {
		case err == nil:
			return Settings{Document: string(data)}, nil
		case errors.Is(err, zk.ErrNoAuth):
			return Settings{Problem: fmt.Sprintf("%s: %v", s.settings, err)}, nil
		case !errors.Is(err, zk.ErrNoNode):
			return Settings{}, err
		}
		there, _, _, err := conn.ExistsW(s.settings)
		if err != nil || !there {
			return Settings{}, err
		}
	}
}

// list reads the names of the nodes, sorted. A folder that is not there has none, and a watch tells when it comes.
func (s zkService) list(conn *zk.Conn, f *folder) ([]string, error) {
	names, _, _, err := conn.ChildrenW(s.path)
	if errors.Is(err, zk.ErrNoNode) {
		var there bool
		if there, _, _, err = conn.ExistsW(s.path); err == nil && there {
			f.stale("", list) // it came in between
		}
		return nil, err
	}
	slices.Sort(names)
	return names, err
}

// readNodes reads the nodes that are new, and those that are old.
func (s zkService) readNodes(conn *zk.Conn, f *folder, old map[string]bool) error {
	var mu sync.Mutex
	now := map[string]node{}
	var g errgroup.Group
	g.SetLimit(readers)
	for _, name := range f.names {
		if known, ok := f.nodes[name]; ok && !old[name] {
			mu.Lock()
			now[name] = known
			mu.Unlock()
			continue
		}
		g.Go(func() error {
			n, err := s.node(conn, name)
			if err != nil {
				if errors.Is(err, zk.ErrNoNode) {
					return nil
				}
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			now[name] = n
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	f.nodes = now
	return nil
}

// node reads one announcement, from its name where that holds it.
func (s zkService) node(conn *zk.Conn, name string) (node, error) {
	data, _, _, err := smartstack.ParseName(name)
	if data == nil || err != nil {
		data, _, _, err = conn.GetW(path.Join(s.path, name))
		if errors.Is(err, zk.ErrNoAuth) {
			return node{bad: err.Error()}, nil
		}
		if err != nil {
			return node{}, err
		}
	}
	svc, err := smartstack.Decode(data, s.endpoint)
	if err != nil {
		return node{bad: err.Error()}, nil
	}
	return node{Service: svc}, nil
}
