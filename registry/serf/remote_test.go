package serf_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/serf/client"

	"glia"
	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/registrytest"
	"glia/registry/serf"
)

// attach works through an agent, looking often.
func attach(t *testing.T, o serf.RemoteOptions) *serf.Remote {
	t.Helper()
	o.Interval = 200 * time.Millisecond
	r, err := serf.Attach(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(t.Context()) })
	return r
}

// foreign is a cluster of Debian's agents.
type foreign struct {
	seed string

	mu     sync.Mutex
	agents map[string]*testbed.Server
}

type foreignHost struct {
	*serf.Remote
	agent *testbed.Server
}

func newForeign(t *testing.T) registrytest.Cluster {
	_, gossip, _ := testbed.Serf(t, "seed")
	return &foreign{seed: gossip, agents: map[string]*testbed.Server{}}
}

// Host starts an agent, or the same one again: a stock agent that comes back must have the address that it had.
func (f *foreign) Host(t *testing.T, name string) registrytest.Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	agent := f.agents[name]
	if agent != nil {
		agent.Start(t)
	} else {
		agent, _, _ = testbed.Serf(t, name, f.seed)
		f.agents[name] = agent
	}
	return foreignHost{attach(t, serf.RemoteOptions{Addr: agent.Addr}), agent}
}

func (f *foreign) Watcher(t *testing.T) registry.Watcher {
	agent, _, _ := testbed.Serf(t, "watcher-"+strings.ReplaceAll(t.Name(), "/", "-")+time.Now().Format(".000000"), f.seed)
	return attach(t, serf.RemoteOptions{Addr: agent.Addr})
}

func (h foreignHost) Crash(t *testing.T) {
	h.agent.Kill(t)
	h.end(t)
}

// Leave has the agent leave; a Remote that is closed takes only its tags back.
func (h foreignHost) Leave(t *testing.T) {
	c := rpc(t, h.agent)
	if err := c.Leave(); err != nil {
		t.Error(err)
	}
	h.end(t)
}

// end makes sure that this Remote does not announce through the agent when it comes back.
func (h foreignHost) end(t *testing.T) {
	if err := h.Close(t.Context()); err == nil {
		t.Error("the tags were taken back of an agent that is away")
	}
}

func rpc(t *testing.T, s *testbed.Server) *client.RPCClient {
	t.Helper()
	c, err := client.NewRPCClient(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// tags are those that the cluster sees of a node.
func tags(t *testing.T, c *client.RPCClient, node string) map[string]string {
	t.Helper()
	all, err := c.Members()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Name == node {
			return m.Tags
		}
	}
	return nil
}

// untilTags waits until the tags of a node are as wanted.
func untilTags(t *testing.T, c *client.RPCClient, node, words string, ok func(map[string]string) bool) {
	t.Helper()
	deadline := time.After(registrytest.Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		last := tags(t, c, node)
		if ok(last) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not seen: %s; the tags are %v", words, last)
		}
	}
}

func TestRemote_Contract(t *testing.T) {
	t.Parallel()
	registrytest.Run(t, newForeign)
}

func TestRemote_HealsTagsThatAReloadTookAway(t *testing.T) {
	t.Parallel()
	agent, _, dir := testbed.Serf(t, "node-1")
	if err := os.WriteFile(filepath.Join(dir, "site.json"), []byte(`{"tags":{"rack":"b7"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := rpc(t, agent)
	r := attach(t, serf.RemoteOptions{Addr: agent.Addr})
	if err := c.UpdateTags(map[string]string{"owner": "ann"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 7)); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, c, "node-1"); got["owner"] != "ann" || got["gen"] != "7" {
		t.Fatalf("the tags of others and ours are %v", got)
	}
	agent.Reload(t) // takes away what was set by RPC, and brings what the files say
	untilTags(t, c, "node-1", "ours beside those of the file", func(got map[string]string) bool {
		return got["rack"] == "b7" && got["owner"] == "" && got["gen"] == "7"
	})
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, c, "node-1"); len(got) != 1 || got["rack"] != "b7" {
		t.Errorf("after Close the tags are %v", got)
	}
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 8)); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Announce after Close: %v", err)
	}
}

// With the drop-in file a reload takes nothing away: no watcher ever sees the host without its tags.
func TestRemote_DropInFileKeepsTagsOverAReload(t *testing.T) {
	t.Parallel()
	agent, _, dir := testbed.Serf(t, "node-1")
	c := rpc(t, agent)
	file := filepath.Join(dir, "zzz_nerve_glia.json")
	r := attach(t, serf.RemoteOptions{Addr: agent.Addr, DropIn: file})
	for gen := range uint64(3) {
		if err := r.Announce(t.Context(), registrytest.Announcement("node-1", gen+1)); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	var doc map[string]map[string]string
	if err == nil {
		err = json.Unmarshal(content, &doc)
	}
	if err != nil || len(doc) != 1 || doc["tags"]["gen"] != "3" || doc["tags"]["disks"] != "failing" {
		t.Fatalf("the file has %s, %v", content, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("in the directory are %v, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "site.json"), []byte(`{"tags":{"rack":"b7"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	agent.Reload(t)
	untilTags(t, c, "node-1", "the reload", func(got map[string]string) bool {
		if got["gen"] != "3" {
			t.Fatalf("the tags were gone: %v", got)
		}
		return got["rack"] == "b7"
	})
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close the file: %v", err)
	}
}

func TestRemote_SurvivesARestartOfTheAgent(t *testing.T) {
	t.Parallel()
	agent, _, _ := testbed.Serf(t, "node-1")
	r := attach(t, serf.RemoteOptions{Addr: agent.Addr})
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 1)); err != nil {
		t.Fatal(err)
	}
	agent.Kill(t)
	registrytest.AwaitError(t, r, "the agent is away")
	untilRemote(t, r, "connection refused")
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 2)); err == nil {
		t.Error("announced through an agent that is away")
	}
	agent.Start(t)
	registrytest.Await(t, r, "the newest announcement", func(m []glia.Member) bool {
		return len(m) == 1 && m[0].Announcement.Generation == 2
	})
	untilRemote(t, r, "")
}

func untilRemote(t *testing.T, r *serf.Remote, want string) {
	t.Helper()
	deadline := time.After(registrytest.Patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := r.Ready()
		if want == "" && err == nil || want != "" && err != nil && strings.Contains(err.Error(), want) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("Ready is %v, want %q", err, want)
		}
	}
}

func TestRemote_RefusesWhatCanNotBeAnnounced(t *testing.T) {
	t.Parallel()
	if _, err := serf.Attach(serf.RemoteOptions{Addr: "nowhere"}); err == nil {
		t.Error("attached to nowhere")
	}
	agent, _, _ := testbed.Serf(t, "node-1")
	r := attach(t, serf.RemoteOptions{Addr: agent.Addr})
	if err := r.Announce(t.Context(), registrytest.Announcement("node-2", 1)); err == nil || !strings.Contains(err.Error(), "its node is node-1: it can not announce node-2") {
		t.Errorf("another name: %v", err)
	}
	if err := rpc(t, agent).UpdateTags(map[string]string{"x": strings.Repeat("y", 400)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 1)); err == nil || !strings.Contains(err.Error(), "other tags (x), and Serf allows 512 in all") {
		t.Errorf("over budget: %v", err)
	}
}

func TestRemote_WrongKeyOfTheAgent(t *testing.T) {
	t.Parallel()
	agent, _, dir := testbed.Serf(t, "node-1")
	agent.Stop(t)
	if err := os.WriteFile(filepath.Join(dir, "auth.json"), []byte(`{"rpc_auth":"right"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	agent.Start(t)
	for key, want := range map[string]string{
		"":      "it wants a key, the rpc_auth of its configuration",
		"wrong": "the key is not the rpc_auth of its configuration",
		"right": "",
	} {
		untilRemote(t, attach(t, serf.RemoteOptions{Addr: agent.Addr, AuthKey: key}), want)
	}
}

// An agent that is stopped answers nothing, and holds up nobody longer than his context.
func TestRemote_AgentThatHangs(t *testing.T) {
	t.Parallel()
	agent, _, _ := testbed.Serf(t, "node-1")
	r := attach(t, serf.RemoteOptions{Addr: agent.Addr})
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 1)); err != nil {
		t.Fatal(err)
	}
	agent.Pause(t)
	for until := time.Now().Add(registrytest.Patience); ; { // its threads stop one after the other
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := r.Members(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("a stopped agent tells members: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.Announce(ctx, registrytest.Announcement("node-1", 2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Announce: %v", err)
	}
	_ = r.Ready() // must not wait for the agent
	agent.Resume(t)
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 3)); err != nil {
		t.Error(err)
	}
}
