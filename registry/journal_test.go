package registry_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"glia"
	"glia/registry"
	"glia/registry/registrytest"
)

func member(host, api string, generation uint64) glia.Member {
	return glia.Member{Announcement: glia.Announcement{Host: host, API: api, Generation: generation}, Status: glia.MemberAlive}
}

// TestJournal_ChangesAddUpToTheWhole makes random changes to hosts, among them names that are claimed twice, and has readers that
// miss any number of them, up to those for which the journal remembers too little.
func TestJournal_ChangesAddUpToTheWhole(t *testing.T) {
	t.Parallel()
	for range 3 {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // a test
		var j registry.Journal
		truth := map[string][]glia.Member{}
		readers := make([]registrytest.Follower, 5)
		wholes := 0
		for step := range 5000 {
			host := fmt.Sprintf("node-%04d", random.IntN(1500))
			var now []glia.Member
			for api := range random.IntN(4) { // 0 forgets it
				now = append(now, member(host, fmt.Sprint(api), random.Uint64N(2)))
			}
			before := truth[host]
			if truth[host] = now; len(now) == 0 {
				delete(truth, host)
			}
			changed := j.Set(host, slices.Clone(now)...)
			if random.IntN(500) == 0 {
				var all []glia.Member
				for _, m := range truth {
					all = append(all, m...)
				}
				if j.Replace(all) {
					t.Fatalf("seed %d: the same state is told as a change", seed)
				}
			}
			if want := !reflect.DeepEqual(before, now); changed != want {
				t.Fatalf("seed %d: from %+v to %+v is told as changed: %v", seed, before, now, changed)
			}
			for i := range readers { // the first one looks at each step, the last one almost never
				if random.IntN(1<<(3*i)) == 0 || step == 4999 {
					d := j.Since(readers[i].Mark)
					if d.Whole {
						wholes++
					}
					readers[i].Take(d)
					if i > 2 && !readers[i].Matches(j.Members()) {
						t.Fatalf("seed %d, step %d: reader %d has not the whole", seed, step, i)
					}
				}
			}
		}
		for i := range readers {
			if !readers[i].Matches(j.Members()) {
				t.Errorf("seed %d: reader %d has not the whole", seed, i)
			}
		}
		if wholes < len(readers) {
			t.Errorf("seed %d: told the whole %d times", seed, wholes)
		}
	}
}

func TestJournal_TellsWhatHasChangedAndNoMore(t *testing.T) {
	t.Parallel()
	var j registry.Journal
	for i := range 10_000 {
		name := fmt.Sprintf("node-%05d", i)
		j.Set(name, member(name, "a", 1))
	}
	first := j.Since(registry.Mark{})
	if !first.Whole || len(first.Hosts) != 10_000 {
		t.Fatalf("whole %v with %d hosts", first.Whole, len(first.Hosts))
	}
	j.Set("node-00007", member("node-00007", "a", 2))
	j.Set("node-00003", member("node-00003", "a", 2))
	j.Set("node-00007", member("node-00007", "a", 3))
	j.Set("node-00009")
	j.Set("node-00009", member("node-00009", "a", 4))
	j.Set("node-00005")
	j.Set("never-seen")
	d := j.Since(first.Mark)
	want := []registry.Host{
		{Name: "node-00003", Members: []glia.Member{member("node-00003", "a", 2)}},
		{Name: "node-00005"},
		{Name: "node-00007", Members: []glia.Member{member("node-00007", "a", 3)}},
		{Name: "node-00009", Members: []glia.Member{member("node-00009", "a", 4)}},
	}
	if d.Whole || !reflect.DeepEqual(d.Hosts, want) {
		t.Errorf("whole %v: %+v", d.Whole, d.Hosts)
	}
	if again := j.Since(d.Mark); again.Whole || len(again.Hosts) != 0 {
		t.Errorf("told again: %+v", again)
	}
	for i := range 2000 { // more than are remembered
		j.Set(fmt.Sprintf("node-%05d", i))
	}
	if late := j.Since(first.Mark); !late.Whole || len(late.Hosts) != 8000 {
		t.Errorf("a reader that missed more than is remembered gets whole %v with %d hosts", late.Whole, len(late.Hosts))
	}
}
