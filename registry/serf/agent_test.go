package serf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/client"

	"glia"
	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/registrytest"
	"glia/registry/serf"
)

// fast are timings with which a crashed member is gone within a second or two.
func fast(m *memberlist.Config) {
	m.GossipInterval = 20 * time.Millisecond
	m.ProbeInterval = 200 * time.Millisecond
	m.ProbeTimeout = 100 * time.Millisecond
	m.SuspicionMult = 2
	m.SuspicionMaxTimeoutMult = 1
	m.PushPullInterval = time.Second
	m.TCPTimeout = 2 * time.Second
}

// calm are timings with which nobody looks dead on a machine that has much else to do, for the tests in which nobody dies.
func calm(m *memberlist.Config) {
	m.GossipInterval = 100 * time.Millisecond
	m.ProbeInterval = 20 * time.Second
	m.ProbeTimeout = 10 * time.Second
	m.PushPullInterval = time.Second
	m.TCPTimeout = 10 * time.Second
}

// start starts an agent on free ports and aborts it at the end of the test.
func start(t *testing.T, o serf.Options) *serf.Agent {
	t.Helper()
	if o.Bind == "" {
		o.Bind = "127.0.0.1:0"
	}
	if o.Tune == nil {
		o.Tune = calm
	}
	a, err := serf.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Abort() })
	return a
}

// cluster starts its first member as the seed, which announces nothing.
type cluster struct {
	seed     *serf.Agent
	tune     func(*memberlist.Config)
	mu       sync.Mutex
	watchers int
}

type host struct{ *serf.Agent }

func newCluster(t *testing.T, tune func(*memberlist.Config)) *cluster {
	return &cluster{seed: start(t, serf.Options{Node: "seed", Tune: tune}), tune: tune}
}

func (c *cluster) Host(t *testing.T, name string) registrytest.Host {
	return host{start(t, serf.Options{Node: name, Bind: "127.0.0.2:0", Join: []string{c.seed.Addr()}, Tune: c.tune})}
}

func (c *cluster) Watcher(t *testing.T) registry.Watcher {
	c.mu.Lock()
	c.watchers++
	name := fmt.Sprintf("watcher-%d", c.watchers)
	c.mu.Unlock()
	return start(t, serf.Options{Node: name, Bind: "127.0.0.3:0", Join: []string{c.seed.Addr()}, Tags: map[string]string{"role": "synapse"}, Tune: c.tune})
}

func (h host) Crash(t *testing.T) {
	if err := h.Abort(); err != nil {
		t.Error(err)
	}
}

func (h host) Leave(t *testing.T) {
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAgent_Contract(t *testing.T) {
	t.Parallel()
	registrytest.Run(t, func(t *testing.T) registrytest.Cluster {
		if strings.Contains(t.Name(), "crash") || strings.Contains(t.Name(), "changes") { // there hosts crash
			return newCluster(t, fast)
		}
		return newCluster(t, calm)
	})
}

// untilReady waits until Ready answers as wanted. Not all that it tells comes with a signal.
func untilReady(t *testing.T, a *serf.Agent, want string) {
	t.Helper()
	deadline := time.After(registrytest.Patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := a.Ready()
		if got := fmt.Sprint(err); want == "" && err == nil || want != "" && strings.Contains(got, want) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("Ready is %v, want %q", err, want)
		}
	}
}

func TestAgent_ServesTheStockCommand(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("serf"); err != nil {
		t.Skip("the serf command is not installed (Debian package serf)")
	}
	c := newCluster(t, calm)
	watcher := start(t, serf.Options{Node: "watcher", Join: []string{c.seed.Addr()}, RPC: "127.0.0.1:0", RPCAuth: "secret"})
	for i, state := range []glia.State{glia.StateHealthy, glia.StateFailed} {
		name := fmt.Sprintf("node-%d", i+1)
		a := glia.Announcement{Host: name, Generation: 7, API: "10.0.0.1:7411", DiskCount: 12, Worst: state}
		if state.Bad() {
			a.Bad = []glia.BadDisk{{Device: "sdk", State: state}}
		}
		if err := c.Host(t, name).Announce(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	registrytest.Await(t, watcher, "both hosts", func(m []glia.Member) bool { return len(m) == 2 })
	command := func(args ...string) []byte {
		args = slices.Insert(args, 1, "-rpc-addr="+watcher.RPCAddr(), "-rpc-auth=secret")
		out, err := exec.CommandContext(t.Context(), "serf", args...).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "timeout waiting for update broadcast") { // then the tags are set, and told later
			t.Fatalf("serf %v: %v\n%s", args, err, out)
		}
		return out
	}
	var answer struct {
		Members []struct {
			Name, Status string
			Tags         map[string]string
		}
	}
	if err := json.Unmarshal(command("members", "-tag", "disks=failed", "-format=json"), &answer); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"glia": "1", "disks": "failed", "disk_count": "12", "bad": "sdk:failed", "gen": "7", "api": "10.0.0.1:7411"}
	if m := answer.Members; len(m) != 1 || m[0].Name != "node-2" || m[0].Status != "alive" || !maps.Equal(m[0].Tags, want) {
		t.Errorf("serf members -tag disks=failed tells %+v", m)
	}
	if out := string(command("members")); !strings.Contains(out, "disks=healthy") || !strings.Contains(out, "watcher") {
		t.Errorf("serf members tells\n%s", out)
	}
	// A query is sent by UDP, and has its time: on a busy machine an operator asks again too.
	var out string
	for range 10 {
		if out = string(command("query", "-timeout=2s", "glia-health")); strings.Contains(out, "Total Responses: 2") {
			break
		}
	}
	for _, want := range []string{"disks=healthy disk_count=12 gen=7", "disks=failed disk_count=12 gen=7 sdk:failed", "Total Responses: 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("serf query glia-health answers\n%s\nwant %q", out, want)
		}
	}
	// Tags that an operator sets beside ours survive the next announcement.
	command("tags", "-set", "rack=b7", "-delete", "disks")
	if err := watcher.Announce(t.Context(), glia.Announcement{Host: "watcher", API: "h:1", Worst: glia.StateHealthy}); err != nil {
		t.Fatal(err)
	}
	if out := string(command("members", "-tag", "rack=b7", "-tag", "disks=healthy")); !strings.Contains(out, "watcher") {
		t.Errorf("the operator's tag is lost: %s", command("members"))
	}
	// An agent that was told to leave vouches for nothing any more.
	command("leave")
	untilReady(t, watcher, registry.ErrClosed.Error())
	if _, err := watcher.Members(t.Context()); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Members after serf leave: %v", err)
	}
}

// TestAgent_WritesOnlyChanges counts the updates that Serf's own event stream tells.
func TestAgent_WritesOnlyChanges(t *testing.T) {
	t.Parallel()
	a := start(t, serf.Options{Node: "node-1", RPC: "127.0.0.1:0"})
	rpc, err := client.NewRPCClient(a.RPCAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer rpc.Close()
	events := make(chan map[string]any, 16)
	if _, err := rpc.Stream("member-update", events); err != nil {
		t.Fatal(err)
	}
	say := func(generation uint64) {
		t.Helper()
		if err := a.Announce(t.Context(), registrytest.Announcement("node-1", generation)); err != nil {
			t.Fatal(err)
		}
	}
	hears := func(within time.Duration) string {
		select {
		case e := <-events:
			return fmt.Sprint(e)
		case <-time.After(within):
			return ""
		}
	}
	// The stream answers a moment before it listens, so the first update is repeated until one is heard.
	generation, first := uint64(0), ""
	for first == "" {
		generation++
		say(generation)
		first = hears(time.Second)
	}
	heard := uint64(1) // what was said later is heard later
	for heard < generation && !strings.Contains(first, fmt.Sprintf("gen:%d ", heard)) {
		heard++
	}
	for range 3 {
		say(generation + 1)
	}
	say(generation + 2)
	for g := heard; g <= generation+2; g++ {
		got, want := first, fmt.Sprintf("gen:%d ", g)
		if g > heard {
			got = hears(registrytest.Patience)
		}
		if !strings.Contains(got, want) {
			t.Fatalf("update tells %q, want %s", got, want)
		}
	}
}

func TestAgent_AnnouncesFromTheFirstMoment(t *testing.T) {
	t.Parallel()
	c := newCluster(t, calm)
	first := registrytest.Announcement("node-1", 9)
	start(t, serf.Options{Node: "node-1", Join: []string{c.seed.Addr()}, First: &first})
	seen := registrytest.Await(t, c.seed, "the host", func(m []glia.Member) bool { return len(m) == 1 })
	if seen[0].Announcement.Generation != 9 {
		t.Errorf("first seen as %+v", seen[0])
	}
}

func TestAgent_JoinsWhenTheSeedComesLate(t *testing.T) {
	t.Parallel()
	seed := testbed.Addr(t)
	early := start(t, serf.Options{Node: "early", Join: []string{seed}})
	untilReady(t, early, "connection refused")
	if err := early.Ready(); !strings.HasPrefix(err.Error(), "joined 0 of ["+seed+"]: ") {
		t.Errorf("Ready: %v", err)
	}
	if m, err := early.Members(t.Context()); err == nil {
		t.Errorf("an agent that reached nobody tells members %v", m)
	}
	if err := early.Announce(t.Context(), registrytest.Announcement("early", 1)); err != nil {
		t.Fatal(err)
	}
	start(t, serf.Options{Node: "seed", Bind: seed, Join: []string{seed}})
	registrytest.Await(t, early, "itself", func(m []glia.Member) bool { return len(m) == 1 })
	untilReady(t, early, "")
}

func TestAgent_TheOnlySeedNeedsNobody(t *testing.T) {
	t.Parallel()
	seed := testbed.Addr(t)
	a := start(t, serf.Options{Node: "seed", Bind: seed, Join: []string{seed}})
	untilReady(t, a, "")
}

func TestAgent_EncryptedClusterKeepsOthersOut(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, 32)
	seed := start(t, serf.Options{Node: "seed", EncryptKey: key})
	first := registrytest.Announcement("node-1", 1)
	start(t, serf.Options{Node: "node-1", EncryptKey: key, Join: []string{seed.Addr()}, First: &first})
	registrytest.Await(t, seed, "the member with the key", func(m []glia.Member) bool { return len(m) == 1 })
	stranger := start(t, serf.Options{Node: "stranger", Join: []string{seed.Addr()}})
	untilReady(t, stranger, "give this member the encryption key of the cluster")
	other := start(t, serf.Options{Node: "other", EncryptKey: bytes.Repeat([]byte{8}, 32), Join: []string{seed.Addr()}})
	untilReady(t, other, "no installed keys could decrypt the message: the encryption key of this member is not the cluster's")
}

func TestAgent_ReportsANameUsedTwice(t *testing.T) {
	t.Parallel()
	c := newCluster(t, calm)
	var log syncBuffer
	a := start(t, serf.Options{Node: "node-1", Bind: "127.0.0.2:0", Join: []string{c.seed.Addr()}})
	registrytest.Await(t, a, "the seed", func([]glia.Member) bool { return a.Ready() == nil })
	if err := a.Announce(t.Context(), registrytest.Announcement("node-1", 1)); err != nil {
		t.Fatal(err)
	}
	registrytest.Await(t, c.seed, "the first one", func(m []glia.Member) bool { return len(m) == 1 })
	b := start(t, serf.Options{Node: "node-1", Bind: "127.0.0.3:0", Join: []string{c.seed.Addr()},
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	untilReady(t, b, "node name node-1 is used at "+a.Addr()+" too")
	log.await(t, `level=ERROR msg="node name is used twice; rename one of the two"`)
	// Once the first one is away for good, the second one takes the place by itself.
	if err := b.Announce(t.Context(), registrytest.Announcement("node-1", 2)); err != nil {
		t.Fatal(err)
	}
	host{a}.Leave(t)
	registrytest.Await(t, c.seed, "the second one", func(m []glia.Member) bool {
		return len(m) == 1 && m[0].Announcement.Generation == 2 && m[0].Status == glia.MemberAlive
	})
	untilReady(t, b, "")
}

func TestAgent_FindsItsPeersAgainByItsSnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, calm)
	o := serf.Options{Node: "node-1", Join: []string{c.seed.Addr()}, SnapshotPath: filepath.Join(t.TempDir(), "snapshot")}
	a := start(t, o)
	untilReady(t, a, "")
	noted := func() bool { // an agent that leaves notes nothing more
		b, err := os.ReadFile(o.SnapshotPath)
		return err == nil && strings.Contains(string(b), "alive: seed")
	}
	for i := 0; !noted(); i++ { // a line is on the medium when a later one comes
		if i == int(registrytest.Patience/time.Second) {
			t.Fatal("the seed is not in the snapshot")
		}
		start(t, serf.Options{Node: fmt.Sprint("other-", i), Join: []string{c.seed.Addr()}})
		<-time.After(time.Second)
	}
	host{a}.Leave(t)
	o.Join = nil
	first := registrytest.Announcement("node-1", 2)
	o.First = &first
	start(t, o)
	registrytest.Await(t, c.seed, "the host again", func(m []glia.Member) bool {
		return len(m) == 1 && m[0].Status == glia.MemberAlive
	})
}

func TestAgent_CloseIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	c := newCluster(t, calm)
	a := start(t, serf.Options{Node: "node-1", Join: []string{c.seed.Addr()}})
	untilReady(t, a, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := a.Announce(t.Context(), registrytest.Announcement("node-1", 1)); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Announce after Close: %v", err)
	}
}

func TestStart_RefusesWrongOptions(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	long := registrytest.Announcement("node-1", 1)
	long.API = strings.Repeat("x", 600) + ":1"
	for want, o := range map[string]serf.Options{
		`node name ""`:                          {Bind: "127.0.0.1:0"},
		`bind address "nowhere"`:                {Node: "n", Bind: "nowhere"},
		`bind address ":7946"`:                  {Node: "n", Bind: ":7946"},
		`advertise address "10.0.0.1"`:          {Node: "n", Bind: "127.0.0.1:0", Advertise: "10.0.0.1"},
		`profile "moon"`:                        {Node: "n", Bind: "127.0.0.1:0", Profile: "moon"},
		"not possible together":                 {Node: "n", Bind: "127.0.0.1:0", EncryptKey: make([]byte, 16), KeyringFile: "/k"},
		"/nowhere/keys":                         {Node: "n", Bind: "127.0.0.1:0", KeyringFile: "/nowhere/keys"},
		"encryption key of 3 bytes":             {Node: "n", Bind: "127.0.0.1:0", EncryptKey: []byte("abc")},
		"tag disks belongs to the digest":       {Node: "n", Bind: "127.0.0.1:0", Tags: map[string]string{"disks": "x"}},
		"tags need 607 bytes":                   {Node: "n", Bind: "127.0.0.1:0", Tags: map[string]string{"x": strings.Repeat("y", 600)}},
		"Serf allows 512 in all":                {Node: "n", Bind: "127.0.0.1:0", First: &long},
		`join address "a:b"`:                    {Node: "n", Bind: "127.0.0.1:0", Join: []string{"a:b", "fine"}},
		`RPC address "0.0.0.0:7373"`:            {Node: "n", Bind: "127.0.0.1:0", RPC: "0.0.0.0:7373"},
		"RPC listener":                          {Node: "n", Bind: "127.0.0.1:0", RPC: busy.Addr().String()},
		"Failed to create memberlist":           {Node: "n", Bind: busy.Addr().String()},
		"start serf agent n: bind address \"\"": {Node: "n"},
	} {
		a, err := serf.Start(o)
		if err == nil {
			a.Abort()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestAgent_AnnouncesOnlyItsOwnHost(t *testing.T) {
	t.Parallel()
	a := start(t, serf.Options{Node: "node-1"})
	if err := a.Announce(t.Context(), registrytest.Announcement("node-2", 1)); err == nil {
		t.Error("announced another host")
	}
	if m, err := a.Members(t.Context()); err != nil || len(m) != 0 {
		t.Errorf("members %v, error %v", m, err)
	}
}

func TestAgent_LogsSerfsOwnLinesAtDebug(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	a := start(t, serf.Options{Node: "node-1", Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	a.Abort()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if !slices.ContainsFunc(lines, func(l string) bool {
		return strings.Contains(l, `level=DEBUG msg="serf says" severity=INFO text="agent: Serf agent starting"`)
	}) {
		t.Errorf("log:\n%s", log.String())
	}
}

// syncBuffer is a buffer that several goroutines may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// await waits for the words: a state may be seen before its line in the log.
func (b *syncBuffer) await(t *testing.T, words string) {
	t.Helper()
	tick, limit := time.NewTicker(10*time.Millisecond), time.After(registrytest.Patience)
	defer tick.Stop()
	for !strings.Contains(b.String(), words) {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not logged: %s\n%s", words, b.String())
		}
	}
}

func TestAgent_AnswersTheHealthQueryWithinItsLimit(t *testing.T) {
	t.Parallel()
	first := registrytest.Announcement("node-1", 1)
	first.Bad = nil
	for i := range 200 {
		first.Bad = append(first.Bad, glia.BadDisk{Device: fmt.Sprintf("sd%03d", i), State: glia.StateFailing})
	}
	a := start(t, serf.Options{Node: "node-1", RPC: "127.0.0.1:0", First: &first})
	rpc, err := client.NewRPCClient(a.RPCAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer rpc.Close()
	answers := make(chan client.NodeResponse, 1)
	if err := rpc.Query(&client.QueryParam{Name: serf.HealthQuery, Timeout: 5 * time.Second, RespCh: answers}); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-answers:
		if text := string(got.Payload); !strings.HasPrefix(text, "disks=failing disk_count=60 gen=1 sd000:failing ") || !strings.Contains(text, " +") {
			t.Errorf("answer %q", text)
		}
	case <-time.After(registrytest.Patience):
		t.Fatal("no answer")
	}
}
