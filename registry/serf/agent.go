// Package serf is the registry on a Serf cluster. It embeds a Serf agent, with the RPC listener that
// the stock serf command talks to, and announces a host by tags of its member.
//
// An Agent guarantees that its tags fit into what Serf allows, that tags set by others survive, and
// that Members is read from the whole member list each time. Announcements reach the other members
// within seconds. Starting does not wait for peers: seeds are tried in the background until they
// are members, and again whenever they are not. A host that stops answering is gone after the
// failure detector of the profile has made sure; one that closes its Agent has left.
//
// Serf has no leader and no consistent reads: two agents may see different states for a while. An
// agent that never reached any of its seeds refuses to tell members, because its list is not the
// cluster's. When two members use one node name, only the first one is seen by the others; both
// report it by Ready.
package serf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/cmd/serf/command/agent"
	hserf "github.com/hashicorp/serf/serf"

	"glia"
	"glia/registry"
)

// Profile is a set of timings of Serf's gossip.
type Profile string

// The profiles of Serf: of one network, between sites, and of one machine.
const (
	LAN   Profile = "lan"
	WAN   Profile = "wan"
	Local Profile = "local"
)

// Options configure an Agent.
type Options struct {
	Node      string   // name of the member, which is the name of the host it announces; unique in the cluster
	Bind      string   // ip:port for gossip, TCP and UDP; port 0 takes a free one
	Advertise string   // ip:port under which others reach Bind; empty when they are the same
	RPC       string   // ip:port on loopback for the serf command; empty for none, port 0 takes a free one
	RPCAuth   string   // key that the serf command must present; empty for none
	Join      []string // host:port of members to find the cluster by; the port defaults to 7946

	EncryptKey   []byte  // 16, 24 or 32 bytes, the same for the whole cluster; empty for no encryption
	KeyringFile  string  // instead of EncryptKey: JSON list of keys in base64, the first encrypts; "serf keys" changes it; empty for none
	Profile      Profile // empty is LAN
	SnapshotPath string  // file that remembers peers over restarts; empty for none

	Forget time.Duration // how long this member shows others that are not alive; 0 is 24 h

	Tags  map[string]string  // further tags of the member; those of the digest are refused
	First *glia.Announcement // announced from the first moment; nil announces nothing until Announce

	Log  *slog.Logger             // nil discards
	Tune func(*memberlist.Config) // last word on the gossip's timings; nil leaves the profile's
}

// Agent is one member of a Serf cluster. It is safe for concurrent use.
type Agent struct {
	node    string
	log     *slog.Logger
	agent   *agent.Agent
	ipc     *agent.AgentIPC // nil without RPC
	rpcAddr net.Addr

	changes registry.Signal
	company registry.Signal // of members that come and go, and not of their tags
	shown   shown
	// announced is what the health query is answered with; nil before the first announcement.
	announced atomic.Pointer[glia.Announcement]
	names     *nameGuard
	seeds     *seeds
	writing   chan struct{}      // holds one token: only one Announce at a time reads and writes the tags
	stop      context.CancelFunc // ends the workers
	joining   sync.WaitGroup     // the worker that tries seeds
	closing   sync.Once
}

var (
	_ registry.Announcer = (*Agent)(nil)
	_ registry.Watcher   = (*Agent)(nil)
)

// Start starts an agent. It fails when the options are wrong or an address cannot be listened on,
// and not because of absent peers.
func Start(o Options) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &Agent{node: o.Node, log: o.Log, writing: make(chan struct{}, 1)}
	a.announced.Store(o.First)
	if err := a.start(o); err != nil {
		return nil, fmt.Errorf("start serf agent %s: %w", o.Node, err)
	}
	return a, nil
}

func (a *Agent) start(o Options) error {
	conf, err := o.config()
	if err != nil {
		return err
	}
	a.names = &nameGuard{node: o.Node, memory: 3 * conf.MemberlistConfig.PushPullInterval, log: o.Log}
	conf.Merge = a.names
	if a.seeds, err = newSeeds(o.Join); err != nil {
		return err
	}
	rpc, err := listenRPC(o.RPC)
	if err != nil {
		return err
	}
	recent := agent.NewLogWriter(512) // what "serf monitor" shows at its start
	out := io.Discard                 // for which Serf does not even make the lines
	switch debug := o.Log.Enabled(context.Background(), slog.LevelDebug); {
	case debug && rpc != nil:
		out = io.MultiWriter(&logWriter{log: o.Log}, recent)
	case debug:
		out = &logWriter{log: o.Log}
	case rpc != nil:
		out = recent
	}
	agentConf := agent.DefaultConfig()
	agentConf.KeyringFile = o.KeyringFile
	if a.agent, err = agent.Create(agentConf, conf, out); err == nil {
		a.agent.RegisterEventHandler(a)
		err = a.agent.Start()
	}
	if err != nil {
		if rpc != nil {
			rpc.Close()
		}
		return err
	}
	if rpc != nil {
		a.rpcAddr = rpc.Addr()
		// The old time format, because the serf command of Debian 12 knows no other.
		a.ipc = agent.NewAgentIPC(a.agent, o.RPCAuth, rpc, out, recent, false)
	}
	a.names.own.Store(new(a.Addr()))
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.joining.Go(func() { a.keepJoined(ctx) })
	go a.awaitShutdown(ctx)
	return nil
}

// config translates the options into those of Serf.
func (o Options) config() (*hserf.Config, error) {
	if o.Node == "" || len(o.Node) > 128 || strings.ToValidUTF8(o.Node, "") != o.Node {
		return nil, fmt.Errorf("node name %q: must have 1 to 128 bytes of valid UTF-8", o.Node)
	}
	c := hserf.DefaultConfig()
	c.NodeName = o.Node
	c.ProtocolVersion = hserf.ProtocolVersionMax // as the stock agent does
	c.SnapshotPath, c.KeyringFile = o.SnapshotPath, o.KeyringFile
	c.RejoinAfterLeave = true // a restart of the daemon leaves, and must find its peers again
	// Serf would vote and shut one of the two down for good. Without the vote the loser takes its
	// place by itself once the other one is renamed; Ready reports it until then.
	c.EnableNameConflictResolution = false
	switch o.Profile {
	case LAN, "":
		c.MemberlistConfig = memberlist.DefaultLANConfig()
	case WAN:
		c.MemberlistConfig = memberlist.DefaultWANConfig()
	case Local:
		c.MemberlistConfig = memberlist.DefaultLocalConfig()
	default:
		return nil, fmt.Errorf("profile %q is not known; use %s, %s or %s", o.Profile, LAN, WAN, Local)
	}
	c.ReconnectTimeout = cmp.Or(o.Forget, 24*time.Hour)
	c.TombstoneTimeout = c.ReconnectTimeout
	c.ReapInterval = min(c.ReapInterval, c.ReconnectTimeout)
	m := c.MemberlistConfig
	// A host that crashed may come back under another address as soon as it counts as gone.
	m.DeadNodeReclaimTime = time.Second
	bind, err := net.ResolveTCPAddr("tcp", o.Bind)
	if err != nil || bind.IP == nil {
		return nil, fmt.Errorf("bind address %q: must be ip:port", o.Bind)
	}
	m.BindAddr, m.BindPort, m.AdvertisePort = bind.IP.String(), bind.Port, bind.Port
	if o.Advertise != "" {
		adv, err := net.ResolveTCPAddr("tcp", o.Advertise)
		if err != nil || adv.IP == nil || adv.Port == 0 {
			return nil, fmt.Errorf("advertise address %q: must be ip:port", o.Advertise)
		}
		m.AdvertiseAddr, m.AdvertisePort = adv.IP.String(), adv.Port
	}
	if len(o.EncryptKey) > 0 {
		if o.KeyringFile != "" {
			return nil, fmt.Errorf("keyring file %s: not possible together with an encryption key", o.KeyringFile)
		}
		if err := memberlist.ValidateKey(o.EncryptKey); err != nil {
			return nil, fmt.Errorf("encryption key of %d bytes: must have 16, 24 or 32", len(o.EncryptKey))
		}
		m.SecretKey = o.EncryptKey
	}
	if o.Tune != nil {
		o.Tune(m)
	}
	c.Tags, err = o.tags()
	return c, err
}

func (o Options) tags() (map[string]string, error) {
	for _, k := range slices.Sorted(maps.Keys(o.Tags)) {
		if owned(k) {
			return nil, fmt.Errorf("tag %s belongs to the digest of disks; choose another name", k)
		}
	}
	if o.First != nil {
		return EncodeDigest(*o.First, o.Tags)
	}
	if size := Size(o.Tags); size > MaxTags {
		return nil, fmt.Errorf("tags need %d bytes, and Serf allows %d in all; remove some", size, MaxTags)
	}
	return maps.Clone(o.Tags), nil
}

// listenRPC opens the RPC listener. Whoever reaches it can make members leave, and it has no TLS,
// so it is not opened to the network.
func listenRPC(addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil || !tcp.IP.IsLoopback() {
		return nil, fmt.Errorf("RPC address %q: must be an ip:port on loopback, as Serf's RPC has no TLS", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("RPC listener: %w", err)
	}
	return l, nil
}

// HandleEvent is called by the embedded agent for everything that happens in the cluster.
func (a *Agent) HandleEvent(e hserf.Event) {
	switch e := e.(type) {
	case hserf.MemberEvent:
		a.changes.Send()
		if e.Type != hserf.EventMemberUpdate {
			a.company.Send()
		}
	case *hserf.Query:
		a.answerHealth(e)
	}
}

// Addr is the ip:port under which other members reach this one.
func (a *Agent) Addr() string {
	m := a.agent.Serf().LocalMember()
	return memberAddr(m)
}

// RPCAddr is the ip:port of the RPC listener; empty when there is none.
func (a *Agent) RPCAddr() string {
	if a.rpcAddr == nil {
		return ""
	}
	return a.rpcAddr.String()
}

// Ready says what is wrong with this member, or nil: it reached none of its seeds, its name is used
// twice, or it is closed.
func (a *Agent) Ready() error {
	if err := a.alive(); err != nil {
		return err
	}
	return errors.Join(a.seeds.problem(), a.names.problem(time.Now()))
}

func (a *Agent) alive() error {
	if s := a.agent.Serf().State(); s != hserf.SerfAlive {
		return fmt.Errorf("serf agent %s is in state %s: %w", a.node, s, registry.ErrClosed)
	}
	return nil
}

// awaitShutdown reports an end that did not come from us, such as "serf leave" over RPC.
func (a *Agent) awaitShutdown(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-a.agent.ShutdownCh():
		if ctx.Err() == nil {
			a.log.Error("serf agent was stopped from outside; restart to rejoin", "node", a.node)
			a.changes.Send()
		}
	}
}

// Close leaves the cluster, so that others see the host as left, and stops the agent. Leaving takes
// some seconds. When ctx ends before, Close returns, and the agent stops by itself once it has left;
// when ctx is done from the start, the agent stops without leaving. Closing again does nothing.
func (a *Agent) Close(ctx context.Context) (err error) {
	a.closing.Do(func() {
		if err = context.Cause(ctx); err != nil {
			err = errors.Join(err, a.shutdown())
			return
		}
		a.stop()
		done := make(chan error, 1)
		// Serf panics when it is shut down while it leaves, so that is one sequence which nothing cuts.
		go func() { done <- errors.Join(a.leave(), a.shutdown()) }()
		select {
		case err = <-done:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	})
	if err != nil {
		return fmt.Errorf("leave serf cluster as %s: %w", a.node, err)
	}
	return nil
}

// leave leaves unless "serf leave" over RPC has done so, or is about to. An attempt to join must end
// before: Serf would send its "I am here" after the "I leave", and others would see the host as gone.
func (a *Agent) leave() error {
	a.joining.Wait()
	switch a.agent.Serf().State() {
	case hserf.SerfAlive:
		return a.agent.Leave()
	case hserf.SerfLeaving:
		<-a.agent.ShutdownCh()
	}
	return nil
}

// Abort stops the agent without leaving, as a crash would. Others see the host as gone after a while.
func (a *Agent) Abort() (err error) {
	a.closing.Do(func() { err = a.shutdown() })
	return err
}

func (a *Agent) shutdown() error {
	a.stop()
	if a.ipc != nil {
		a.ipc.Shutdown()
	}
	err := a.agent.Shutdown()
	a.changes.Send()
	return err
}
