package service_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/serf/client"

	"glia"
	"glia/internal/testbed"
	"glia/nerve/service"
	"glia/nerve/service/place"
	"glia/registry/serf"
)

// member is a member of Serf whose tags a nerve keeps.
type member interface {
	serf.Services
	Announce(context.Context, glia.Announcement) error
}

func TestServices_KeepSerfAtWhatTheChecksSay(t *testing.T) {
	t.Parallel()
	agent, _, dir := testbed.Serf(t, "node-1")
	remote, err := serf.Attach(serf.RemoteOptions{Addr: agent.Addr, DropIn: filepath.Join(dir, "glia.json"), Interval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = remote.Close(context.Background()) })
	own, err := serf.Start(serf.Options{Node: "node-1", Bind: "127.0.0.1:0", RPC: "127.0.0.1:0", Profile: serf.Local})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Abort() })
	for name, m := range map[string]struct {
		member
		rpc    string
		reload func(*testing.T)
	}{
		"an agent of our own":    {own, own.RPCAddr(), nil},
		"an agent of the site's": {remote, agent.Addr, func(t *testing.T) { agent.Reload(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := client.NewRPCClient(m.rpc)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			keepsSerf(t, m.member, c, m.reload)
		})
	}
}

// keepsSerf plays a service whose tag a cluster sees.
func keepsSerf(t *testing.T, m member, c *client.RPCClient, reload func(*testing.T)) {
	switches := &lever{}
	one := func(name string, key string) service.Service {
		return service.Service{Name: name, Key: key, Interval: interval, Places: map[string]service.Place{"serf": place.Serf(m, name, "10.0.0.1:3000")},
			Checks: []service.Named{{Name: "lever", Check: switches, Timeout: time.Second, Rise: 1, Fall: 1}}}
	}
	shown := func() string {
		all, err := c.Members()
		if err != nil || len(all) != 1 {
			return fmt.Sprint(all, err)
		}
		var tags []string
		for k, v := range all[0].Tags {
			if strings.HasPrefix(k, "smart:") {
				tags = append(tags, k+"="+v)
			}
		}
		slices.Sort(tags)
		return strings.Join(tags, " ")
	}
	shows := func(want string) func() bool { return func() bool { return shown() == want } }
	const web, db = "smart:web_3000=10.0.0.1:3000", "smart:db=10.0.0.1:3000"
	s, stop := start(t, one("web_3000", "a"))
	until(t, "it is told that the host comes first", func() bool {
		return s.Problem() != nil && strings.Contains(s.Problem().Error(), "the host itself is not announced yet")
	})
	if err := m.Announce(t.Context(), glia.Announcement{Host: "node-1", API: "10.0.0.1:7411"}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is announced as nerve of Smartstack for Serf does", shows(web))
	s.Apply([]service.Service{one("web_3000", "a"), one("db", "a")})
	until(t, "another one is beside it", shows(db+" "+web))
	if err := m.Announce(t.Context(), glia.Announcement{Host: "node-1", API: "10.0.0.1:7411", Generation: 2, DiskCount: 3}); err != nil || shown() != db+" "+web {
		t.Errorf("with a new digest of the disks: %v, %s", err, shown())
	}
	if reload != nil {
		reload(t)
	}
	if err := c.UpdateTags(map[string]string{"role": "storage"}, []string{"smart:db"}); err != nil {
		t.Fatal(err)
	}
	until(t, "what somebody removed is back", shows(db+" "+web))
	switches.bad.Store(true)
	until(t, "they are down and not announced", shows(""))
	switches.bad.Store(false)
	until(t, "they are up again", shows(db+" "+web))

	long := strings.Repeat("long", 100)
	s.Apply([]service.Service{one("web_3000", "a"), one(long, "a")})
	until(t, "one is gone", shows(web))
	until(t, "it is told that there is no room for the other", func() bool {
		err := fmt.Sprint(s.Problem())
		return strings.Contains(err, "no room for smart:long") && strings.Contains(err, "=10.0.0.1:3000: it takes 423 bytes, and the tags of the disks and all others leave ")
	})
	stop()
	until(t, "with nerve its tag goes", shows(""))
}
