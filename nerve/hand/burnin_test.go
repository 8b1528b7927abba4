package hand_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

const burnIn = gliav1.Verb_VERB_BURN_IN

// A disk that passes is as blank afterwards as before, and is not written a second time.
func TestHand_BurnInOfAGoodDiskLeavesItBlank(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	dev := l.attach("NEW", 2, 64*mib)
	blank := l.hash("NEW")
	h := l.hand(l.options(&recorder{to: hand.Linux()}))
	o := order(burnIn, "NEW", 2)
	r := finish(t, h, o)
	wantDone(t, r)
	if !strings.Contains(r.Output, "4 MiB in 4 places were written and read back") {
		t.Errorf("output %q", r.Output)
	}
	if l.hash("NEW") != blank {
		t.Error("the disk is not zero again")
	}
	// The blocks of the file that were written are allocated now: it really was written to.
	var st unix.Stat_t
	if err := unix.Stat(l.files["NEW"], &st); err != nil || st.Blocks*512 < 4*mib {
		t.Errorf("only %d bytes of the backing file were ever written (%v)", st.Blocks*512, err)
	}
	// Sent again, it is told and not done: what stands there now would be a refusal.
	l.write(dev, 8*mib, "data")
	wantDone(t, finish(t, h, o))
	l.write(dev, 8*mib, "\x00\x00\x00\x00")
	wantDone(t, finish(t, h, order(format, "NEW", 2)))
	wantNo(t, finish(t, h, order(burnIn, "NEW", 2)), refused, "not blank", "ext4")
}

func TestHand_BurnInWritesToNothingThatIsNotBlank(t *testing.T) {
	t.Parallel()
	middle := hand.BurnInPlaces(64*mib, 64*mib)[1]
	for name, tc := range map[string]struct {
		spoil func(l *lab, dev string)
		says  string
	}{
		"signature":       {func(l *lab, dev string) { l.sh("mkfs.ext4", "-q", "/dev/"+dev) }, "ext4"},
		"byte in front":   {func(l *lab, dev string) { l.write(dev, 3*mib, "x") }, "not zero"},
		"byte at the end": {func(l *lab, dev string) { l.write(dev, -1, "x") }, "not zero"},
		"byte at a place": {func(l *lab, dev string) { l.write(dev, middle+4097, "x") }, "not zero"},
		"own pattern, unordered": {func(l *lab, dev string) {
			l.write(dev, middle, string(hand.BurnInBlock("other", "NEW", middle)))
		}, "not zero"},
		"mounted": {func(l *lab, dev string) {
			l.sh("mkfs.ext4", "-q", "/dev/"+dev)
			l.sh("mount", "-o", "ro", "/dev/"+dev, l.mkdir("m")) // else the kernel writes to it in the background
		}, "is mounted on"},
		"too small": {func(l *lab, _ string) { l.change("NEW", func(d *glia.Disk) { d.Identity.Size = 8 * mib }) }, "too small"},
		"protected": {func(l *lab, _ string) { l.change("NEW", func(d *glia.Disk) { d.Protected = "carries /" }) }, "carries /"},
		"truncated": {func(l *lab, _ string) {
			if err := os.Truncate(l.files["NEW"], 20*mib); err != nil {
				l.t.Fatal(err)
			}
		}, "can not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			dev := l.attach("NEW", 2, 64*mib)
			tc.spoil(l, dev)
			before := l.hash("NEW")
			h := l.hand(l.options(&recorder{}))
			wantNo(t, finish(t, h, order(burnIn, "NEW", 2)), refused, tc.says)
			if l.hash("NEW") != before {
				t.Error("the disk was written to")
			}
		})
	}
}

// The backing file has no room: reads give zeros, writes give real errors from the kernel.
func TestHand_BurnInOfADiskThatTakesNoWritesFails(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	small := l.mkdir("small")
	l.sh("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small)
	t.Cleanup(func() { unix.Unmount(small, unix.MNT_DETACH) })
	whole := l.dir
	l.dir = small
	l.attach("NEW", 2, 64*mib)
	l.dir = whole
	h := l.hand(l.options(&recorder{}))
	o := order(burnIn, "NEW", 2)
	r := finish(t, h, o)
	wantNo(t, r, failed, "write to /dev/loop", "at byte")
	if !strings.HasPrefix(r.Reason, "burn-in: ") {
		t.Errorf("reason %q", r.Reason)
	}
	j, _ := os.ReadFile(filepath.Join(whole, "state", "journal"))
	if !bytes.Contains(j, []byte(`"event":"begun"`)) || !bytes.Contains(j, []byte(`"event":"failed"`)) {
		t.Errorf("journal %s", j)
	}
}

// A disk that is not where the order says is no bad disk: the answer says so, and the same order is done
// when it is back.
func TestHand_BurnInOfADiskThatIsAwayTellsNothingOfTheDisk(t *testing.T) {
	t.Parallel()
	elsewhere := func(l *lab) { l.change("NEW", func(d *glia.Disk) { d.Location.Slot = "9" }) }
	for name, tc := range map[string]struct {
		away func(l *lab)
		says string
		at   int // the look at the inventory from which on it is away
	}{
		"gone":                   {func(l *lab) { l.pull("NEW") }, "disk NEW is not found on this host", 1},
		"in another place":       {elsewhere, "disk NEW is in enc0 slot 9, not in enc0 slot 2", 1},
		"gone while looked at":   {func(l *lab) { l.pull("NEW") }, "disk NEW is not found on this host", 2},
		"moved while looked at":  {elsewhere, "disk NEW is in enc0 slot 9", 2},
		"inventory can not look": {nil, "inventory: the bus hangs", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.attach("NEW", 2, 64*mib)
			blank := l.hash("NEW")
			opts := l.options(&recorder{})
			look, looks := opts.Inventory, 0
			opts.Inventory = func(ctx context.Context) ([]glia.Disk, error) {
				if looks++; looks == tc.at {
					if tc.away == nil {
						return nil, errors.New("the bus hangs")
					}
					tc.away(l)
				}
				return look(ctx)
			}
			h := l.hand(opts)
			o := order(burnIn, "NEW", 2)
			r := finish(t, h, o)
			state := refused
			if tc.away == nil {
				state = waits
			}
			wantNo(t, r, state, tc.says)
			if !strings.HasPrefix(r.Reason, "can not be told yet: ") {
				t.Errorf("reason %q", r.Reason)
			}
			if strings.HasPrefix(name, "gone") {
				return
			}
			l.change("NEW", func(d *glia.Disk) { d.Location.Slot = "2" })
			wantDone(t, finish(t, h, o))
			if l.hash("NEW") != blank {
				t.Error("the disk is not zero again")
			}
		})
	}
}

// A disk that is pulled in the midst of its burn-in has not failed it.
func TestHand_BurnInOfADiskThatGoesMeanwhileIsNoVerdict(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	small := l.mkdir("small")
	l.sh("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small)
	t.Cleanup(func() { unix.Unmount(small, unix.MNT_DETACH) })
	whole := l.dir
	l.dir = small
	l.attach("NEW", 2, 64*mib) // takes no writes
	l.dir = whole
	opts := l.options(&recorder{})
	look, looks := opts.Inventory, 0
	opts.Inventory = func(ctx context.Context) ([]glia.Disk, error) {
		if looks++; looks == 3 { // after those of the checks
			l.change("NEW", func(d *glia.Disk) { d.Location.Device = "" })
		}
		return look(ctx)
	}
	r := finish(t, l.hand(opts), order(burnIn, "NEW", 2))
	wantNo(t, r, failed, "disk NEW is not found on this host", "write to /dev/loop")
	if !strings.HasPrefix(r.Reason, "can not be told yet: ") {
		t.Errorf("reason %q", r.Reason)
	}
}

// A crash in the middle, at each kind of point: our own work is recognised and wiped; anything else,
// or the same in another place, is not touched.
func TestHand_CrashDuringBurnIn(t *testing.T) {
	t.Parallel()
	places := hand.BurnInPlaces(64*mib, 64*mib)
	for name, tc := range map[string]struct {
		left func(l *lab, dev, key string)
		says string // empty: the burn-in goes on
	}{
		"nothing written": {func(*lab, string, string) {}, ""},
		"all written": {func(l *lab, dev, key string) {
			for _, at := range places {
				l.write(dev, at, string(hand.BurnInBlock(key, "NEW", at)))
			}
		}, ""},
		"half a block": {func(l *lab, dev, key string) {
			l.write(dev, places[0], string(hand.BurnInBlock(key, "NEW", places[0])[:300*512]))
		}, ""},
		"half wiped": {func(l *lab, dev, key string) {
			last := places[len(places)-1]
			l.write(dev, last+mib/2, string(hand.BurnInBlock(key, "NEW", last)[mib/2:]))
		}, ""},
		"one bit else": {func(l *lab, dev, key string) {
			b := hand.BurnInBlock(key, "NEW", places[1])
			b[70000] ^= 1
			l.write(dev, places[1], string(b))
		}, "something that this burn-in has not written"},
		"in another place": {func(l *lab, dev, key string) {
			l.write(dev, places[1], string(hand.BurnInBlock(key, "NEW", places[2])))
		}, "something that this burn-in has not written"},
		"of another disk": {func(l *lab, dev, key string) {
			l.write(dev, places[1], string(hand.BurnInBlock(key, "ELSE", places[1])))
		}, "something that this burn-in has not written"},
		"beside its places": {func(l *lab, dev, key string) {
			l.write(dev, 2*mib, string(hand.BurnInBlock(key, "NEW", 2*mib)))
		}, "byte 2097152 is not zero"},
		"a filesystem since": {func(l *lab, dev, _ string) { l.sh("mkfs.ext4", "-q", "/dev/"+dev) }, "ext4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			dev := l.attach("NEW", 2, 64*mib)
			blank := l.hash("NEW")
			opts := l.options(&recorder{})
			o := order(burnIn, "NEW", 2)
			wantDone(t, finish(t, l.hand(opts), o))

			// What a crash leaves: begun in the journal, and nothing after it.
			opts.StateDir = crashed(t, opts.StateDir)
			journal := filepath.Join(opts.StateDir, "journal")
			whole, err := os.ReadFile(journal)
			if err != nil || bytes.Count(whole, []byte("\n")) != 2 {
				t.Fatalf("journal %s, %v", whole, err)
			}
			if err := os.WriteFile(journal, whole[:bytes.IndexByte(whole, '\n')+1], 0o600); err != nil {
				t.Fatal(err)
			}
			tc.left(l, dev, o.Key)
			before := l.hash("NEW")
			h := l.hand(opts)
			if tc.says != "" {
				wantNo(t, finish(t, h, o), refused, tc.says)
				if l.hash("NEW") != before {
					t.Error("the disk was written to")
				}
				return
			}
			// Another order has no such privilege.
			if before != blank {
				wantNo(t, finish(t, h, order(burnIn, "NEW", 2)), refused, "not zero")
			}
			wantDone(t, finish(t, h, o))
			if l.hash("NEW") != blank {
				t.Error("the disk is not zero again")
			}
		})
	}
}

func TestBurnInPlaces_LieOnTheDiskAndApart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		size, total int64
		want        []int64
	}{
		{mib - 1, 64 * mib, nil},
		{mib, 64 * mib, []int64{0}},
		{2 * mib, 64 * mib, []int64{0, mib}},
		{64 * mib, 64 * mib, []int64{0, 21 * mib, 42 * mib, 63 * mib}},
		{64 * mib, 2 * mib, []int64{0, 63 * mib}},
		{64 * mib, mib, []int64{0}},
	} {
		if got := hand.BurnInPlaces(tc.size, tc.total); !slices.Equal(got, tc.want) {
			t.Errorf("%d bytes of %d: %v, want %v", tc.total, tc.size, got, tc.want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Int64Range(mib, 1<<62).Draw(rt, "size")
		total := rapid.Int64Range(mib, 512*mib).Draw(rt, "total")
		places := hand.BurnInPlaces(size, total)
		if int64(len(places))*mib > total || places[0] != 0 {
			rt.Fatalf("%d places, the first at %d", len(places), places[0])
		}
		for i, at := range places {
			if at%4096 != 0 || at+mib > size || i > 0 && at < places[i-1]+mib {
				rt.Fatalf("place %d of %v", i, places)
			}
		}
	})
}

func TestBurnInDifference_NamesTheFault(t *testing.T) {
	t.Parallel()
	want := hand.BurnInBlock("k", "S", 4*mib)
	zero := make([]byte, mib)
	flipped := bytes.Clone(want)
	flipped[5*512+300] ^= 1
	for words, pair := range map[string][2][]byte{
		"holds what was written to byte 8388608":         {hand.BurnInBlock("k", "S", 8*mib), want},
		"the sector at byte 4194304 is zero":             {zero, want},
		"the sector at byte 4196864 does not hold":       {flipped, want},
		"still has what was there before the last write": {want, zero},
		"at byte 4194304 came 512 bytes, not 1048576":    {want[:512], want},
		"no difference": {want, want},
	} {
		if got := hand.BurnInDifference(pair[0], pair[1], 4*mib); !strings.Contains(got, words) {
			t.Errorf("%q does not say %q", got, words)
		}
	}
}

// Whatever a disk holds: only the exact bytes, or zeros, are taken for our own.
func FuzzBurnInForeign(f *testing.F) {
	f.Add(hand.BurnInBlock("k", "S", 0)[:1024], int64(0))
	f.Add(make([]byte, 700), int64(mib))
	f.Add([]byte("glia burn-in 1\n\x00"), int64(0))
	f.Fuzz(func(t *testing.T, block []byte, at int64) {
		hand.BurnInDifference(block, make([]byte, len(block)), at)
		if hand.BurnInForeign("k", "S", block, at) >= 0 || at < 0 {
			return
		}
		for off := 0; off < len(block); off += 512 {
			s := block[off:min(off+512, len(block))]
			own := hand.BurnInBlock("k", "S", at+int64(off))[:512]
			if len(bytes.Trim(s, "\x00")) > 0 && !bytes.Equal(s, own) {
				t.Errorf("taken for our own: %x", s)
			}
		}
	})
}
