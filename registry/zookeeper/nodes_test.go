package zookeeper_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"glia/internal/testbed"
	"glia/registry/registrytest"
	"glia/registry/smartstack"
	"glia/registry/zookeeper"
)

func openNodes(t *testing.T, o zookeeper.Options) *zookeeper.Nodes {
	t.Helper()
	o.SessionTimeout = cmp.Or(o.SessionTimeout, lease)
	n, err := zookeeper.OpenNodes(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close(context.Background()) })
	return n
}

// put tries until it succeeds, as a nerve does.
func put(t *testing.T, n *zookeeper.Nodes, key string, node zookeeper.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), registrytest.Patience)
	defer cancel()
	for {
		err := n.Put(ctx, key, node)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func folder() string { return fmt.Sprintf("/nerve/services/web-%d/services", clusters.Add(1)) }

// awaitNodes waits until the folder is as wanted, and looks at each change of its names or of a node.
func awaitNodes(t *testing.T, z *zk.Conn, dir, what string, want func(map[string]string) bool) map[string]string {
	t.Helper()
	limit := time.After(registrytest.Patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		nodes := map[string]string{}
		names, _, err := z.Children(dir)
		for _, name := range names {
			if data, _, err := z.Get(dir + "/" + name); err == nil {
				nodes[name] = string(data)
			}
		}
		if (err == nil || errors.Is(err, zk.ErrNoNode)) && want(nodes) {
			return nodes
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not seen within %v; last seen %q, %v", what, registrytest.Patience, nodes, err)
		}
	}
}

// holds says that exactly one node is there, with that data.
func holds(data string) func(map[string]string) bool {
	return func(nodes map[string]string) bool {
		for _, has := range nodes {
			return len(nodes) == 1 && has == data
		}
		return false
	}
}

func only(nodes map[string]string) string {
	for name := range nodes {
		return name
	}
	return ""
}

// web is a service as the original announces it, and its bytes.
func web(t *testing.T, weight int) (smartstack.Service, string) {
	t.Helper()
	s := smartstack.Service{Host: "10.0.0.1", Port: 3000, Name: "i-1", Weight: &weight, Labels: map[string]string{"az": "us-east-1a"}}
	data, err := smartstack.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, string(data)
}

func TestNodes_AnnounceServicesAsNerveDoes(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	z, n := raw(t, s), openNodes(t, zookeeper.Options{Servers: []string{s.Addr}, SessionTimeout: lasting})
	for _, encode := range []bool{false, true} {
		dir := folder()
		for weight := range 3 {
			_, data := web(t, weight)
			put(t, n, dir, zookeeper.Node{Folder: dir, Name: smartstack.NodeName("i-1", []byte(data), encode), Data: []byte(data), Numbered: true})
			name := only(awaitNodes(t, z, dir, "the service", holds(data)))
			inName, _, numbered, err := smartstack.ParseName(name)
			if err != nil || !numbered || encode && string(inName) != data || !encode && (inName != nil || !strings.HasPrefix(name, "i-1_0")) {
				t.Errorf("node %s: data %s, %v", name, inName, err)
			}
		}
		if err := n.Remove(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		awaitNodes(t, z, dir, "nothing", func(nodes map[string]string) bool { return len(nodes) == 0 })
	}
}

func TestNodes_PlainOneIsTakenOverFromAnOldSession(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	z, dir := raw(t, s), folder()
	node := zookeeper.Node{Folder: dir, Name: "i-1", Data: []byte("data")}
	o := zookeeper.Options{Servers: []string{s.Addr}, SessionTimeout: lasting}
	old, n := openNodes(t, o), openNodes(t, o)
	put(t, old, "web", node)
	connected(t, n.Ready)
	other := node
	other.Data = []byte("other")
	if err := n.Put(t.Context(), "web", other); err == nil || !strings.Contains(err.Error(), `somebody else holds it with other data: "data"`) {
		t.Errorf("a name used twice: %v", err)
	}
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitNodes(t, z, dir, "the other one, by itself", holds("other"))
}

func TestNodes_HealThemselves(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	z := raw(t, s)
	for name, harm := range map[string]func(*testing.T, *testbed.Proxy, string, string){
		"expired session": func(t *testing.T, p *testbed.Proxy, dir, _ string) {
			p.Cut()
			awaitNodes(t, z, dir, "nothing", func(nodes map[string]string) bool { return len(nodes) == 0 })
			p.Heal()
		},
		"half-open connection": func(t *testing.T, p *testbed.Proxy, dir, _ string) {
			p.Hang()
			awaitNodes(t, z, dir, "nothing", func(nodes map[string]string) bool { return len(nodes) == 0 })
			p.Heal()
		},
		"removed by somebody": func(t *testing.T, _ *testbed.Proxy, dir, name string) {
			if err := z.Delete(dir+"/"+name, -1); err != nil {
				t.Fatal(err)
			}
		},
		"changed by somebody": func(t *testing.T, _ *testbed.Proxy, dir, name string) {
			if _, err := z.Set(dir+"/"+name, []byte("{"), -1); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, dir := testbed.NewProxy(t, s.Addr), folder()
			n := openNodes(t, zookeeper.Options{Servers: []string{p.Addr}})
			put(t, n, "web", zookeeper.Node{Folder: dir, Name: "i-1_", Data: []byte("data"), Numbered: true})
			before := only(awaitNodes(t, z, dir, "the node", holds("data")))
			harm(t, p, dir, before)
			awaitNodes(t, z, dir, "the node again", holds("data"))
		})
	}
}

// A node whose making was asked for over a connection that broke before the answer is there once.
func TestNodes_AreNotMadeTwice(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	z, p, dir := raw(t, s), testbed.NewProxy(t, s.Addr), folder()
	n := openNodes(t, zookeeper.Options{Servers: []string{p.Addr}})
	put(t, n, "first", zookeeper.Node{Folder: dir, Name: "first_", Data: []byte("data"), Numbered: true})
	for i := range 10 {
		done := make(chan struct{})
		key := fmt.Sprint("i-", i)
		go func() {
			defer close(done)
			put(t, n, key, zookeeper.Node{Folder: dir, Name: key + "_", Data: []byte("data"), Numbered: true})
		}()
		p.Cut()
		p.Heal()
		<-done
	}
	awaitNodes(t, z, dir, "each of them once", func(nodes map[string]string) bool {
		var names []string
		for name := range nodes {
			names = append(names, name[:strings.LastIndexByte(name, '_')])
		}
		slices.Sort(names)
		return strings.Join(names, " ") == "first i-0 i-1 i-2 i-3 i-4 i-5 i-6 i-7 i-8 i-9"
	})
}

// What was asked for over a connection that broke before the answer is taken back, too: its session lives on.
func TestNodes_LeaveNothingBehindThatWasCutOff(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	z := raw(t, s)
	begin := func(t *testing.T) (*testbed.Proxy, *zookeeper.Nodes, string) {
		t.Helper()
		p, dir := testbed.NewProxy(t, s.Addr), folder()
		n := openNodes(t, zookeeper.Options{Servers: []string{p.Addr}, SessionTimeout: lasting})
		put(t, n, "other", zookeeper.Node{Folder: dir, Name: "other_", Data: []byte("data"), Numbered: true})
		return p, n, dir
	}
	shows := func(want ...string) func(map[string]string) bool {
		return func(nodes map[string]string) bool {
			var names []string
			for name := range nodes {
				names = append(names, name[:strings.LastIndexByte(name, '_')])
			}
			slices.Sort(names)
			return slices.Equal(names, want)
		}
	}
	t.Run("removed while it is made", func(t *testing.T) {
		t.Parallel()
		p, n, dir := begin(t)
		p.HangAfter("i-1_")
		var both sync.WaitGroup
		both.Go(func() {
			_ = n.Put(t.Context(), "web", zookeeper.Node{Folder: dir, Name: "i-1_", Data: []byte("data"), Numbered: true})
		})
		awaitNodes(t, z, dir, "the node", shows("i-1", "other"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := n.Remove(ctx, "web"); err == nil {
			t.Error("it was removed through a connection that hangs")
		}
		p.Cut()
		p.Heal()
		both.Wait()
		awaitNodes(t, z, dir, "no node of it", shows("other"))
	})
	t.Run("under its old name", func(t *testing.T) {
		t.Parallel()
		p, n, dir := begin(t)
		put(t, n, "web", zookeeper.Node{Folder: dir, Name: "old_", Data: []byte("data"), Numbered: true})
		p.HangAfter("old_")
		var both sync.WaitGroup
		both.Go(func() {
			_ = n.Put(t.Context(), "web", zookeeper.Node{Folder: dir, Name: "new_", Data: []byte("data"), Numbered: true})
		})
		awaitNodes(t, z, dir, "the new one", shows("new", "old", "other"))
		p.Cut()
		p.Heal()
		both.Wait()
		awaitNodes(t, z, dir, "the new one alone", shows("new", "other"))
	})
	t.Run("removed by somebody who did not wait", func(t *testing.T) {
		t.Parallel()
		p, n, dir := begin(t)
		p.Hang()
		var both sync.WaitGroup
		both.Go(func() {
			_ = n.Put(t.Context(), "web", zookeeper.Node{Folder: dir, Name: "i-1_", Data: []byte("data"), Numbered: true})
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := n.Remove(ctx, "other"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("removed through a connection that hangs: %v", err)
		}
		p.Heal()
		both.Wait()
		awaitNodes(t, z, dir, "the removal", shows("i-1"))
	})
}

func TestNodes_AreReadByAllAndChangedByTheirOwner(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	z, dir := raw(t, s), folder()
	n := openNodes(t, zookeeper.Options{Servers: []string{s.Addr}, User: "glia", Password: "secret"})
	put(t, n, "web", zookeeper.Node{Folder: dir, Name: "i-1_", Data: []byte("data"), Numbered: true})
	name := only(awaitNodes(t, z, dir, "the node", holds("data")))
	if _, err := z.Set(dir+"/"+name, nil, -1); !errors.Is(err, zk.ErrNoAuth) {
		t.Errorf("changed by a stranger: %v", err)
	}
}

func TestNodes_WriteOnlyChanges(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	dir := folder()
	n := openNodes(t, zookeeper.Options{Servers: []string{s.Addr}, SessionTimeout: lasting})
	node := zookeeper.Node{Folder: dir, Name: "i-1_", Data: []byte("data"), Numbered: true}
	put(t, n, "web", node)
	writes := func() string {
		said, err := testbed.ZooKeeperWord(t.Context(), s.Addr, "srvr")
		if err != nil {
			t.Fatal(err)
		}
		return zxid.FindString(said)
	}
	before := writes()
	for range 100 {
		if err := n.Put(t.Context(), "web", node); err != nil {
			t.Fatal(err)
		}
	}
	if after := writes(); after != before || before == "" {
		t.Errorf("%s became %s with nothing changing", before, after)
	}
}

func TestNodes_RefuseWhatCanBeNoNode(t *testing.T) {
	t.Parallel()
	n := openNodes(t, zookeeper.Options{Servers: []string{"127.0.0.1:1"}})
	for want, node := range map[string]zookeeper.Node{
		`folder "web"`:  {Folder: "web", Name: "a"},
		`folder "/"`:    {Folder: "/", Name: "a"},
		`folder "/a//"`: {Folder: "/a//", Name: "a"},
		`name "a/b"`:    {Folder: "/a", Name: "a/b"},
		`name ""`:       {Folder: "/a"},
	} {
		if err := n.Put(t.Context(), "k", node); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if err := n.Put(t.Context(), "k", zookeeper.Node{Folder: "/a", Name: "a"}); err == nil || !strings.Contains(err.Error(), "no session with any of its servers") {
		t.Errorf("without a server: %v", err)
	}
}
