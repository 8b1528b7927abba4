package serf_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/internal/testbed"
	"glia/registry/registrytest"
	"glia/registry/serf"
)

// A nerve that crashed left its services in the drop-in file: those that it announces again are there all the time, and others go.
func TestRemote_ServicesOfALifeBeforeAreClaimedOrGo(t *testing.T) {
	t.Parallel()
	agent, _, dir := testbed.Serf(t, "node-1")
	file := filepath.Join(dir, "glia.json")
	agent.Kill(t)
	if err := os.WriteFile(file, []byte(`{"tags":{"disks":"unknown","smart:db":"10.0.0.1:1","smart:web":"10.0.0.1:2"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	agent.Start(t)
	c := rpc(t, agent)
	untilTags(t, c, "node-1", "the tags of the life before", func(tags map[string]string) bool { return tags["smart:web"] != "" })
	r := attach(t, serf.RemoteOptions{Addr: agent.Addr, DropIn: file, Claim: time.Second})
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 1)); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, c, "node-1"); got["smart:web"] != "10.0.0.1:2" || got["smart:db"] != "10.0.0.1:1" {
		t.Errorf("before they are claimed: %v", got)
	}
	if err := r.PutService(t.Context(), serf.ServiceTag("web"), "10.0.0.1:2"); err != nil {
		t.Fatal(err)
	}
	untilTags(t, c, "node-1", "that nobody claims one", func(tags map[string]string) bool { return tags["smart:db"] == "" && tags["smart:web"] == "10.0.0.1:2" })
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), `"smart:web":"10.0.0.1:2"`) || strings.Contains(string(b), "smart:db") {
		t.Errorf("the file: %s, %v", b, err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	untilTags(t, c, "node-1", "that all are taken back", func(tags map[string]string) bool { return tags["smart:web"] == "" })
}

// Close takes back what this life has not said, too: what a life before has left, and a service that is shown though it was removed.
func TestRemote_CloseLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	agent, _, dir := testbed.Serf(t, "node-1")
	c := rpc(t, agent)
	o := serf.RemoteOptions{Addr: agent.Addr, DropIn: filepath.Join(dir, "zzz_nerve_glia.json"), Interval: time.Hour}
	open := func() *serf.Remote {
		r, err := serf.Attach(o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	web := serf.ServiceTag("web")
	r := open()
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 1)); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveService(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	if err := c.UpdateTags(map[string]string{web: "10.0.0.1:2"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, c, "node-1"); len(got) != 0 {
		t.Errorf("after its end %v are left", got)
	}
	content := []byte(`{"tags":{"disks":"healthy","` + web + `":"10.0.0.1:2"}}`)
	if err := os.WriteFile(o.DropIn, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.UpdateTags(map[string]string{"disks": "healthy", web: "10.0.0.1:2"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := open().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, c, "node-1"); len(got) != 0 {
		t.Errorf("after a life in which nothing was announced %v are left", got)
	}
}

// What was asked of an agent may be done although its answer never came.
func TestRemote_RemovesAServiceWhosePutWasCutOff(t *testing.T) {
	t.Parallel()
	agent, _, _ := testbed.Serf(t, "node-1")
	proxy := testbed.NewProxy(t, agent.Addr)
	r, c := attach(t, serf.RemoteOptions{Addr: proxy.Addr}), rpc(t, agent)
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 1)); err != nil {
		t.Fatal(err)
	}
	web := serf.ServiceTag("web")
	if err := r.RemoveService(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	proxy.HangAfter("tags")
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() { answered <- r.PutService(ctx, web, "10.0.0.1:2") }()
	untilTags(t, c, "node-1", "that the service is shown", func(tags map[string]string) bool { return tags[web] != "" })
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Fatalf("the put that was cut off: %v", err)
	}
	proxy.Heal()
	if err := r.RemoveService(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	if got, shown := tags(t, c, "node-1")[web]; shown {
		t.Errorf("it was removed, and is shown as %s", got)
	}
}

func TestAgent_DisksComeBeforeServices(t *testing.T) {
	t.Parallel()
	first := registrytest.Announcement("node-1", 1)
	a := start(t, serf.Options{Node: "node-1", First: &first})
	placed := 0
	for i := 'a'; i <= 'z'; i++ {
		err := a.PutService(t.Context(), serf.ServiceTag(strings.Repeat(string(i), 20)), "192.168.33.10:3001")
		if err == nil {
			placed++
			continue
		}
		if !strings.Contains(err.Error(), "no room for smart:"+string(i)) {
			t.Fatal(err)
		}
	}
	if placed < 5 || placed > 12 {
		t.Errorf("%d services have a place", placed)
	}
	if err := a.RemoveService(t.Context(), serf.ServiceTag(strings.Repeat("a", 20))); err != nil {
		t.Fatal(err)
	}
	if err := a.PutService(t.Context(), serf.ServiceTag(strings.Repeat("z", 20)), "192.168.33.10:3001"); err != nil {
		t.Errorf("what one has left, another one can have: %v", err)
	}
	for generation := range uint64(1) << 20 {
		if generation&(generation+1) != 0 {
			continue
		}
		if err := a.Announce(t.Context(), registrytest.Announcement("node-1", generation)); err != nil {
			t.Errorf("the digest of the disks has no room any more: %v", err)
		}
	}
}
