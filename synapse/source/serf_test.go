package source_test

import (
	"testing"
	"time"

	"github.com/hashicorp/serf/client"

	"glia/internal/testbed"
	"glia/synapse/source"
)

// TestSerf_FollowsTheTagsOfMembers has two agents: one is asked, and the other is that of a host whose nerve has set its tags.
func TestSerf_FollowsTheTagsOfMembers(t *testing.T) {
	t.Parallel()
	asked, gossip, _ := testbed.Serf(t, "asked")
	host, _, _ := testbed.Serf(t, "host", gossip)
	wait := follow(t, source.Serf{Agent: asked.Addr, Service: "web", Interval: time.Second})
	wait("")
	c, err := client.NewRPCClient(host.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.UpdateTags(map[string]string{"smart:web_3000": "192.168.33.10:3000"}, nil); err != nil {
		t.Fatal(err)
	}
	wait("host@192.168.33.10:3000")
	if err := c.UpdateTags(nil, []string{"smart:web_3000"}); err != nil {
		t.Fatal(err)
	}
	wait("")
	asked.Kill(t)
	wait("error")
	asked.Start(t)
	wait("")
}

func TestFromMembers(t *testing.T) {
	t.Parallel()
	member := func(name, status string, tags map[string]string) client.Member {
		return client.Member{Name: name, Status: status, Tags: tags}
	}
	for _, c := range []struct {
		member client.Member
		want   string
	}{
		{member("b", "alive", map[string]string{"smart:web": "10.0.0.1:80"}), "b@10.0.0.1:80"},
		{member("b", "alive", map[string]string{"smart:web_80": "10.0.0.1:80", "smart:web_81": "10.0.0.1:81", "smart:serverweight": "7"}), "b@10.0.0.1:80*7 b@10.0.0.1:81*7"},
		{member("b", "alive", map[string]string{"smart:web": "2001:db8::1:80"}), "b@2001:db8::1:80"},
		{member("b", "alive", map[string]string{"smart:web": "[2001:db8::1]:80"}), "b@2001:db8::1:80"},
		{member("b", "failed", map[string]string{"smart:web": "10.0.0.1:80"}), ""},
		{member("b", "leaving", map[string]string{"smart:web": "10.0.0.1:80"}), ""},
		{member("b", "alive", map[string]string{"smart:website": "10.0.0.1:80", "smart:web_x": "10.0.0.1:80", "web": "10.0.0.1:80"}), ""},
		{member("b", "alive", map[string]string{"smart:web": ""}), "skipped"},
		{member("b", "alive", map[string]string{"smart:web": "10.0.0.1"}), "skipped"},
		{member("b", "alive", map[string]string{"smart:web": "10.0.0.1:0"}), "skipped"},
		{member("b", "alive", map[string]string{"smart:web": "a b:80"}), "skipped"},
	} {
		if got := brief(source.FromMembers([]client.Member{c.member}, "web")); got != c.want {
			t.Errorf("%v: %q, want %q", c.member.Tags, got, c.want)
		}
	}
}

func FuzzFromMembers(f *testing.F) {
	f.Add("smart:web_1", "10.0.0.1:80", "7")
	f.Fuzz(func(t *testing.T, key, value, weight string) {
		o := source.FromMembers([]client.Member{{Name: "m", Status: "alive", Tags: map[string]string{key: value, "smart:serverweight": weight}}}, "web")
		for _, b := range o.Backends {
			if b.Host == "" || b.Port < 1 || b.Port > 65535 {
				t.Errorf("%+v", b)
			}
		}
	})
}
