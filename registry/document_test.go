package registry_test

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"glia"
	"glia/registry"
)

func announcement() glia.Announcement {
	return glia.Announcement{
		Host: "node-1", Generation: 7, API: "10.0.0.1:7411", DiskCount: 12, Worst: glia.StateFailing,
		Bad: []glia.BadDisk{{Device: "sdk", State: glia.StateFailing}},
	}
}

func TestDocument_HasTheseBytes(t *testing.T) {
	t.Parallel()
	got, err := registry.EncodeDocument(announcement(), false)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"format":1,"host":"node-1","generation":7,"api":"10.0.0.1:7411","disk_count":12,"worst":"failing","bad":[{"device":"sdk","state":"failing"}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDocument_ReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	for left, status := range map[bool]glia.MemberStatus{false: "", true: glia.MemberLeft} {
		data, err := registry.EncodeDocument(announcement(), left)
		if err != nil {
			t.Fatal(err)
		}
		want := glia.Member{Announcement: announcement(), Status: status}
		if got := registry.DecodeDocument("node-1", data); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestDocument_TellsWhatItCanNotRead(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		``:                             "no announcement",
		`{"host":`:                     "no announcement",
		`[]`:                           "no announcement",
		`{"format":2,"host":"node-1"}`: "format 2, and this release reads 1",
		`{"format":1,"host":"node-2"}`: `document is of host "node-2"`,
		`{"format":1,"host":"node-1"}`: `api "" is not an address`,
		`{"format":1,"host":"node-1","api":"h:1","worst":"fine"}`:  `"fine" is not a verdict`,
		`{"format":1,"host":"node-1","api":"h:1","disk_count":-1}`: "disk_count -1",
		`{"format":1,"host":"node-1","api":"h:1","more":-1}`:       "more -1",
	} {
		m := registry.DecodeDocument("node-1", []byte(data))
		if !strings.Contains(m.Problem, want) || m.Announcement.Host != "node-1" || m.Announcement.Worst != glia.StateUnknown {
			t.Errorf("%s: got %+v, want the problem %q", data, m, want)
		}
	}
	later := `{"format":1,"host":"node-1","api":"h:1","disk_count":3,"worst":"healthy","colour":"blue"}`
	if m := registry.DecodeDocument("node-1", []byte(later)); m.Problem != "" || m.Announcement.DiskCount != 3 {
		t.Errorf("a field of a later release is a problem: %+v", m)
	}
}

func FuzzDecodeDocument(f *testing.F) {
	data, err := registry.EncodeDocument(announcement(), true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("node-1", data)
	f.Add("\xff", []byte(`{"format":1,"bad":[{"device":"\ud800"}]}`))
	f.Fuzz(func(t *testing.T, host string, data []byte) {
		m := registry.DecodeDocument(host, data)
		if !utf8.ValidString(m.Problem) || !utf8.ValidString(m.Announcement.Host) || !utf8.ValidString(m.Announcement.API) {
			t.Errorf("texts are not valid UTF-8: %+v", m)
		}
		if m.Problem != "" || len(m.Announcement.Bad) == 0 && m.Announcement.Bad != nil {
			return
		}
		again, err := registry.EncodeDocument(m.Announcement, m.Status == glia.MemberLeft)
		if err != nil {
			t.Fatal(err)
		}
		if got := registry.DecodeDocument(host, again); !reflect.DeepEqual(got, m) {
			t.Errorf("written and read again it is %+v, was %+v", got, m)
		}
	})
}
