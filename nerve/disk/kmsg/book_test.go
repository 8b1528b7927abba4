package kmsg_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"glia/nerve/disk/kmsg"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func wall(at time.Duration) time.Time { return now.Add(at) }

// says makes messages, numbered from first on. A short form stands for those that the tests need.
func says(first uint64, words ...string) func(func(kmsg.Record) bool) {
	var out []kmsg.Record
	for _, w := range words {
		verb, name, _ := strings.Cut(w, " ")
		if verb != "lost" {
			out = append(out, kmsg.Record{Seq: first, At: time.Duration(first) * time.Second, Text: fmt.Sprintf(map[string]string{
				"medium": "critical medium error, dev %s, sector 1",
				"io":     "I/O error, dev %s, sector 1",
				"took":   "sd 0:0:0:0: [%s] Attached SCSI disk",
				"loop":   "%s: detected capacity change from 0 to 8",
				"reset":  "%s: sending diag reset !!",
				"ro":     "EXT4-fs (%s): Remounting filesystem read-only",
				"person": "XFS (%s): User initiated shutdown received.",
				"down":   "XFS (%s): Log I/O Error (0x6) detected at f (g.c:1).  Shutting down filesystem.",
				"mount":  "EXT4-fs (%s): mounted filesystem",
				"other":  "usb 1-1: %s",
			}[verb], name)})
		}
		first++
	}
	return slices.Values(out)
}

// sum writes accounts as SERIAL=KINDCOUNT…, the first letter standing for the kind, and the marks behind.
func sum(b *kmsg.Book) string {
	var out []string
	for serial, a := range b.Disks {
		s := ""
		for kind, n := range a.Counts {
			s += fmt.Sprintf("%c%d", kind[0], n)
		}
		for device := range a.Marks {
			s += "!" + device
		}
		if s != "" {
			out = append(out, serial+"="+s)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestBook_ChargesWhoeverHadTheName(t *testing.T) {
	t.Parallel()
	a, b := kmsg.Names{"sda": {"A"}, "sda1": {"A"}, "dm-0": {"A"}}, kmsg.Names{"sda": {"B"}, "sda1": {"B"}, "dm-0": {"B"}}
	both := kmsg.Names{"sda": {"A"}, "sdb": {"B"}, "dm-0": {"A", "B"}, "mpt3sas_cm0": {"A", "B"}}
	for _, c := range []struct {
		name    string
		was, is kmsg.Names // was nil: the first look of this boot
		said    []string
		want    string
	}{
		{"the same disk before and after", a, a, []string{"medium sda", "other x", "io sda", "io sda"}, "A=I2m1"},
		{"the layers above it", a, a, []string{"io dm-0", "ro dm-0"}, "A=I1!dm-0"},
		{"another disk has the name now", a, b, []string{"medium sda"}, ""},
		{"and the log shows since when", a, b, []string{"medium sda", "io sda1", "took sda", "io sda"}, "A=I1m1 B=I1"},
		{"two disks took it one after another", a, b, []string{"took sda", "io sda", "took sda"}, ""},
		{"the same disk came back", a, a, []string{"medium sda", "took sda", "io sda"}, "A=I1m1"},
		{"it is gone", a, kmsg.Names{}, []string{"medium sda"}, "A=m1"},
		{"it is new", kmsg.Names{}, b, []string{"took sda", "io sda"}, "B=I1"},
		{"nobody's name", a, a, []string{"io sdx"}, ""},
		{"a device on two disks", both, both, []string{"io dm-0", "ro dm-0"}, ""},
		{"a controller of two disks", both, both, []string{"reset mpt3sas_cm0"}, "A=c1 B=c1"},
		{"an old log, first look", nil, a, []string{"medium sda", "took sda", "io sda1"}, "A=I1"},
		{"an old log without the beginning", nil, a, []string{"io sda"}, "A=I1"},
		{"an old log cannot tell whose dm-0 was", nil, a, []string{"io dm-0"}, ""},
		{"nor loop0 always", nil, kmsg.Names{"loop0": {"L"}}, []string{"loop loop0", "io loop0"}, ""},
		{"lost messages may have told of another disk", a, b, []string{"other x", "lost", "io sda", "took sda", "io sda"}, "B=I1"},
		{"another name with the same beginning", a, b, []string{"io sda", "took sdaa"}, ""},
	} {
		book := &kmsg.Book{}
		if c.was != nil {
			book.Read("boot", says(1, "other x"), wall)
			book.Look(c.was, nil, now)
		}
		book.Read("boot", says(2, c.said...), wall)
		book.Look(c.is, nil, now)
		if got := sorted(sum(book)); got != sorted(c.want) {
			t.Errorf("%s: %q, want %q", c.name, sum(book), c.want)
		}
	}
}

// sorted makes the order of kinds in sums not matter.
func sorted(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(b)
}

func TestBook_CountsOnceOverRestarts(t *testing.T) {
	t.Parallel()
	names := kmsg.Names{"sda": {"A"}}
	ring := says(5, "io sda", "io sda", "other x", "io sda")
	book := &kmsg.Book{}
	book.Read("boot", ring, wall)
	book.Look(names, nil, now)
	restarted := func() {
		raw, err := json.Marshal(book)
		if err != nil {
			t.Fatal(err)
		}
		book = &kmsg.Book{}
		if err := json.Unmarshal(raw, book); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, boot string
		ring       func(func(kmsg.Record) bool)
		want       string
		lost       uint64
	}{
		{"the same ring again", "boot", ring, "A=I3", 0},
		{"with one more", "boot", says(8, "io sda", "io sda"), "A=I4", 0},
		{"after three were overwritten", "boot", says(13, "io sda"), "A=I5", 3},
		{"after another boot, with the same numbers", "boot2", says(5, "io sda"), "A=I6", 3},
	} {
		restarted()
		book.Read(c.boot, c.ring, wall)
		restartedBeforeTheLook := *book
		book.Look(names, nil, now)
		if sum(book) != c.want || book.Lost != c.lost {
			t.Errorf("%s: %s, %d lost", c.name, sum(book), book.Lost)
		}
		if restartedBeforeTheLook.Next >= book.Next && c.name != "the same ring again" {
			t.Errorf("%s: messages count as charged before they are", c.name)
		}
	}
}

func TestBook_MarksHoldAsLongAsTheMount(t *testing.T) {
	t.Parallel()
	names := kmsg.Names{"sda1": {"A"}, "sdb1": {"B"}}
	for _, c := range []struct {
		name string
		next []string
		is   kmsg.Names
		want string
	}{
		{"nothing new", nil, names, "A=!sda1"},
		{"mounted again", []string{"mount sda1"}, names, ""},
		{"mounted again, and given up again", []string{"mount sda1", "ro sda1"}, names, "A=!sda1"},
		{"another one is mounted", []string{"mount sdb1"}, names, "A=!sda1"},
		{"what was lost may have told of it", []string{"lost", "other x"}, names, ""},
		{"the device is gone", nil, kmsg.Names{"sdb1": {"B"}}, ""},
	} {
		book := &kmsg.Book{}
		book.Read("boot", says(1, "other x"), wall)
		book.Look(names, nil, now)
		book.Read("boot", says(2, "ro sda1"), wall)
		book.Look(names, nil, now)
		book.Read("boot", says(3, c.next...), wall)
		book.Look(c.is, nil, now)
		if got := sum(book); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// The kernel mounts more filesystems than it tells of.
func TestBook_ANewMountEndsAMarkWithoutAMessage(t *testing.T) {
	t.Parallel()
	names := kmsg.Names{"sda1": {"A"}, "sdb1": {"B"}}
	book := &kmsg.Book{}
	for _, c := range []struct {
		name   string
		said   string
		mounts kmsg.Mounts
		want   string
	}{
		{"both mounted", "other x", kmsg.Mounts{"sda1": 1, "sdb1": 2}, ""},
		{"one given up", "ro sda1", kmsg.Mounts{"sda1": 1, "sdb1": 2}, "A=!sda1"},
		{"the other one mounted again", "other x", kmsg.Mounts{"sda1": 1, "sdb1": 3}, "A=!sda1"},
		{"mounted again", "other x", kmsg.Mounts{"sda1": 4, "sdb1": 3}, ""},
		{"given up, and mounted again", "ro sda1", kmsg.Mounts{"sda1": 5, "sdb1": 3}, ""},
		{"given up again", "ro sda1", kmsg.Mounts{"sda1": 5, "sdb1": 3}, "A=!sda1"},
		{"unmounted", "other x", kmsg.Mounts{"sdb1": 3}, ""},
	} {
		book.Read("boot", says(max(book.Next, 1), c.said), wall)
		book.Look(names, c.mounts, now)
		raw, err := json.Marshal(book)
		if book = new(kmsg.Book); err != nil || json.Unmarshal(raw, book) != nil {
			t.Fatal(err)
		}
		if got := sum(book); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestBook_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	book := &kmsg.Book{}
	book.Read("boot", func(yield func(kmsg.Record) bool) {
		for i := range uint64(100_000) {
			if !yield(kmsg.Record{Seq: i, Text: fmt.Sprintf("I/O error, dev sd%c, sector %d", 'a'+rune(i%3), i)}) {
				return
			}
		}
	}, wall)
	book.Look(kmsg.Names{"sda": {"A"}, "sdb": {"B"}, "sdc": {"C"}}, nil, now)
	raw, err := json.Marshal(book)
	if err != nil || len(raw) > 2000 || sum(book) != "A=I33334 B=I33333 C=I33333" {
		t.Errorf("%s in %d bytes, %v", sum(book), len(raw), err)
	}
	book.Look(kmsg.Names{"sdb": {"B"}}, nil, now.Add(31*24*time.Hour))
	if len(book.Disks) != 1 {
		t.Errorf("disks that are gone for a month: %s", sum(book))
	}
}

func TestBook_TheFirstWordOfAShutdownTellsWhoDidIt(t *testing.T) {
	t.Parallel()
	names := kmsg.Names{"sda1": {"A"}}
	for _, c := range []struct {
		said []string
		want kmsg.Kind
	}{
		{[]string{"person sda1", "down sda1"}, kmsg.Requested},
		{[]string{"down sda1", "person sda1"}, kmsg.Shutdown},
		{[]string{"person sda1", "down sda1", "mount sda1", "down sda1"}, kmsg.Shutdown},
	} {
		book := &kmsg.Book{}
		book.Read("boot", says(1, "other x"), wall)
		book.Look(names, nil, now)
		book.Read("boot", says(2, c.said...), wall)
		book.Look(names, nil, now)
		if got := book.Disks["A"].Marks["sda1"].Kind; got != c.want {
			t.Errorf("%q: %q, want %q", c.said, got, c.want)
		}
	}
}
