package serf_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	hserf "github.com/hashicorp/serf/serf"
	"pgregory.net/rapid"

	"glia"
	"glia/registry/registrytest"
	"glia/registry/serf"
)

// serfAccepts asks Serf itself whether tags are short enough, without starting anything: it checks
// the tags before the name, which is wrong on purpose.
func serfAccepts(tags map[string]string) error {
	c := hserf.DefaultConfig()
	c.ProtocolVersion, c.ValidateNodeNames, c.NodeName = hserf.ProtocolVersionMax, true, "!"
	c.DisableCoordinates = true
	c.Tags = tags
	_, err := hserf.Create(c)
	if err == nil {
		return fmt.Errorf("serf accepted the node name %q, so this check is void", c.NodeName)
	}
	if strings.Contains(err.Error(), "Encoded length of tags") {
		return err
	}
	return nil
}

func TestSize_AgreesWithSerf(t *testing.T) {
	t.Parallel()
	for _, tags := range []func(n int) map[string]string{
		func(n int) map[string]string { return map[string]string{"d": strings.Repeat("x", n)} },
		func(n int) map[string]string { return map[string]string{strings.Repeat("x", n): "d"} },
		func(n int) map[string]string {
			m := map[string]string{}
			for i := range n {
				m[fmt.Sprintf("d%02d", i)] = "f"
			}
			return m
		},
		func(n int) map[string]string {
			m := map[string]string{}
			for i := range n {
				m[strings.Repeat("k", i)] = strings.Repeat("v", 31)
			}
			return m
		},
	} {
		fitted, refused := 0, 0
		for n := range 520 {
			if size := serf.Size(tags(n)); size < serf.MaxTags-100 || size > serf.MaxTags+100 {
				continue
			}
			ours, serfs := serf.Size(tags(n)) <= serf.MaxTags, serfAccepts(tags(n))
			if ours != (serfs == nil) {
				t.Fatalf("%d: Size is %d, and serf says %v", n, serf.Size(tags(n)), serfs)
			}
			if ours {
				fitted++
			} else {
				refused++
			}
		}
		if fitted == 0 || refused == 0 {
			t.Errorf("the limit was not crossed: %d fitted, %d did not", fitted, refused)
		}
	}
}

func TestDigest_Readable(t *testing.T) {
	t.Parallel()
	got, err := serf.EncodeDigest(registrytest.Announcement("node-1", 42), map[string]string{"rack": "b7", "disks": "old", "bad": "old"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"glia": "1", "disks": "failing", "disk_count": "60", "bad": "sdk:failing,sdq:suspect", "gen": "42",
		"api": "10.0.0.1:7411", "fp": "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg", "rack": "b7",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestDigest_CutsTheListAtItsEnd(t *testing.T) {
	t.Parallel()
	a := glia.Announcement{Host: "node-1", API: "10.0.0.1:7411", DiskCount: 90, Worst: glia.StateFailed}
	for i := range 90 {
		a.Bad = append(a.Bad, glia.BadDisk{Device: fmt.Sprintf("sd%c%c", 'a'+i/26, 'a'+i%26), State: glia.StateFailed})
	}
	tags, err := serf.EncodeDigest(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	if size := serf.Size(tags); size > serf.MaxTags || size < serf.MaxTags-len("sdaa:failed,+") {
		t.Errorf("size is %d: the room is not used, or overdrawn", size)
	}
	entries := strings.Split(tags["bad"], ",")
	if got, want := entries[len(entries)-1], fmt.Sprintf("+%d", 90-(len(entries)-1)); got != want {
		t.Errorf("the list ends with %s, want %s", got, want)
	}
	m, _ := serf.DecodeDigest("node-1", tags)
	if m.Problem != "" || !reflect.DeepEqual(m.Announcement.Bad, a.Bad[:len(entries)-1]) || len(m.Announcement.Bad)+m.Announcement.More != 90 {
		t.Errorf("decoded %v and %d more, problem %q", m.Announcement.Bad, m.Announcement.More, m.Problem)
	}
}

func TestDigest_TooManyForeignTags(t *testing.T) {
	t.Parallel()
	a := registrytest.Announcement("node-1", 42)
	for room, want := range map[int]string{ // bytes left beside the essentials
		0: "", 6: "", 7: "+2", 18: "+2", 19: "sdk:failing,+1", 60: "sdk:failing,sdq:suspect",
	} {
		bare := a
		bare.Bad = nil
		tags, _ := serf.EncodeDigest(bare, map[string]string{"x": strings.Repeat("y", 300)})
		foreign := map[string]string{"x": strings.Repeat("y", 300+serf.MaxTags-serf.Size(tags)-room)}
		got, err := serf.EncodeDigest(a, foreign)
		if err != nil || got["bad"] != want || serfAccepts(got) != nil {
			t.Errorf("room for %d: bad is %q, want %q; error %v, serf says %v", room, got["bad"], want, err, serfAccepts(got))
		}
		foreign["x"] += strings.Repeat("z", room+1)
		_, err = serf.EncodeDigest(a, foreign)
		if err == nil || !strings.Contains(err.Error(), "512") || !strings.Contains(err.Error(), "(x)") {
			t.Errorf("one byte too much: error %v, want the sizes and the tags", err)
		}
	}
}

func TestDecodeDigest_Problems(t *testing.T) {
	t.Parallel()
	good := map[string]string{"glia": "1", "disks": "failed", "disk_count": "3", "gen": "7", "api": "h:1"}
	for _, c := range []struct{ tag, value, problem string }{
		{"disks", "", "tag disks is missing or empty"},
		{"disks", "broken", `tag disks: "broken" is not a verdict`},
		{"disk_count", "-1", `tag disk_count: "-1" is not a number`},
		{"gen", "18446744073709551616", "is not a generation"},
		{"api", "no-port", "is not an address"},
		{"api", ":7411", "is not an address"},
		{"api", "\xff:1", "is not an address"},
		{"fp", "!", "is not base64url"},
		{"bad", "sda", "is not of the form device:state"},
		{"bad", "+3,sda:failed", "is not of the form device:state"},
		{"bad", "sda:", "is not a verdict"},
		{"bad", "%ff:failed", "is not of the form device:state"},
		{"glia", "2", `announces in format "2"`},
	} {
		tags := maps.Clone(good)
		tags[c.tag] = c.value
		m, ok := serf.DecodeDigest("node-1", tags)
		if !ok || !strings.Contains(m.Problem, c.problem) {
			t.Errorf("%s=%q: problem %q, want %q", c.tag, c.value, m.Problem, c.problem)
		}
		if c.tag != "disks" && m.Announcement.Worst != glia.StateFailed {
			t.Errorf("%s=%q hides the state", c.tag, c.value)
		}
	}
	if m, ok := serf.DecodeDigest("node-1", good); !ok || m.Problem != "" {
		t.Errorf("good tags have problem %q", m.Problem)
	}
	delete(good, "glia")
	if _, ok := serf.DecodeDigest("node-1", good); ok {
		t.Error("a member without our tag counts as an announcer")
	}
}

// announcements draws what a nerve could announce, and more.
func announcements(t *rapid.T) glia.Announcement {
	state := rapid.Custom(func(t *rapid.T) glia.State {
		return glia.State(rapid.IntRange(int(glia.StateUnknown), int(glia.StateFailed)).Draw(t, "state"))
	})
	device := rapid.OneOf(rapid.StringMatching(`sd[a-z]{1,2}|nvme[0-9]n1`), rapid.String())
	a := glia.Announcement{
		Host: "node-1", Generation: rapid.Uint64().Draw(t, "generation"),
		API:       rapid.StringMatching(`[a-z0-9.-]{1,120}:[0-9]{1,5}`).Draw(t, "api"),
		DiskCount: rapid.IntRange(0, 1<<31-1).Draw(t, "count"), Worst: state.Draw(t, "worst"),
		Bad: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) glia.BadDisk {
			return glia.BadDisk{Device: device.Draw(t, "device"), State: state.Draw(t, "bad")}
		}), 0, 100).Draw(t, "bad"),
	}
	if rapid.Bool().Draw(t, "tls") {
		a.Fingerprint = hex.EncodeToString(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "fingerprint"))
	}
	return a
}

// roundTrip is the property of the digest: it fits, is stable, spares the tags of others, and what
// was not cut comes back.
func roundTrip(t *rapid.T) {
	a := announcements(t)
	foreign := rapid.MapOfN(rapid.StringMatching(`x[a-z]{0,40}`), rapid.StringN(0, 60, 60), 0, 20).Draw(t, "foreign")
	tags, err := serf.EncodeDigest(a, foreign)
	if err != nil {
		bare := a
		bare.Bad = nil
		if _, err := serf.EncodeDigest(bare, foreign); err == nil {
			t.Fatalf("refused because of the list of bad disks")
		}
		return
	}
	if err := serfAccepts(tags); err != nil || serf.Size(tags) > serf.MaxTags {
		t.Fatalf("size %d: %v", serf.Size(tags), err)
	}
	if again, _ := serf.EncodeDigest(a, tags); !maps.Equal(again, tags) {
		t.Fatalf("not stable: %v, then %v", tags, again)
	}
	for k, v := range foreign {
		if got, ok := tags[k]; !ok || got != v {
			t.Fatalf("tag %q of others is now %q", k, got)
		}
	}
	m, ok := serf.DecodeDigest("node-1", tags)
	if !ok || m.Problem != "" {
		t.Fatalf("problem %q with %v", m.Problem, tags)
	}
	kept := len(m.Announcement.Bad)
	if kept > len(a.Bad) {
		t.Fatalf("%d bad disks became %d", len(a.Bad), kept)
	}
	if m.Announcement.More != len(a.Bad)-kept && (kept > 0 || m.Announcement.More > 0) {
		t.Fatalf("of %d bad disks %d came, and %d more", len(a.Bad), kept, m.Announcement.More)
	}
	a.Bad, a.More = a.Bad[:kept], m.Announcement.More
	if !m.Announcement.SameDigest(a) || m.Announcement.Generation != a.Generation {
		t.Fatalf("got  %+v\nwant %+v", m.Announcement, a)
	}
}

func TestDigest_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, roundTrip)
}

func FuzzEncodeDigest(f *testing.F) { f.Fuzz(rapid.MakeFuzz(roundTrip)) }

func FuzzDecodeDigest(f *testing.F) {
	f.Add("node-1", "1", "failing", "60", "sdk:failing,sdq:suspect,+7", "42", "10.0.0.1:7411", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg")
	f.Add("\xff", "", "\x00", "-1", ",,+,:%", "1e9", "[", "=")
	f.Fuzz(func(t *testing.T, host, format, disks, count, bad, gen, api, fp string) {
		m, ok := serf.DecodeDigest(host, map[string]string{
			"glia": format, "disks": disks, "disk_count": count, "bad": bad, "gen": gen, "api": api, "fp": fp,
		})
		if !ok {
			t.Fatal("not taken for an announcer")
		}
		for _, s := range append([]string{m.Announcement.Host, m.Announcement.API, m.Announcement.Fingerprint, m.Problem}, devices(m)...) {
			if !utf8.ValidString(s) {
				t.Fatalf("%q is not valid UTF-8", s)
			}
		}
		if tags, err := serf.EncodeDigest(m.Announcement, nil); m.Problem == "" && err == nil {
			again, _ := serf.DecodeDigest(m.Announcement.Host, tags)
			kept := m.Announcement
			kept.Bad, kept.More = kept.Bad[:len(again.Announcement.Bad)], again.Announcement.More
			if !again.Announcement.SameDigest(kept) {
				t.Fatalf("read %+v, wrote and read %+v", kept, again.Announcement)
			}
		}
	})
}

func devices(m glia.Member) (out []string) {
	for _, b := range m.Announcement.Bad {
		out = append(out, b.Device)
	}
	return out
}
