package disk_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"glia/nerve/disk"
)

// For any stack of layers, a disk is protected exactly if one can climb from it to a use. The test
// climbs up, device by device; the code walks down.
func TestProtect_ExactlyWhatIsUnderAUse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		stack := disk.Stack{Above: map[string][]string{}}
		var disks, all []string
		for i := range rapid.IntRange(1, 6).Draw(t, "disks") {
			disks = append(disks, fmt.Sprintf("sd%c", 'a'+i))
		}
		all = slices.Clone(disks)
		for i := range rapid.IntRange(0, 12).Draw(t, "layers") {
			name := fmt.Sprintf("dm-%d", i)
			for _, lower := range rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, min(3, len(all)), rapid.ID).Draw(t, name) {
				stack.Above[lower] = append(stack.Above[lower], name)
			}
			all = append(all, name)
		}
		var uses []disk.Use
		used := map[string]bool{}
		for range rapid.IntRange(0, 3).Draw(t, "uses") {
			on := rapid.SampledFrom(all).Draw(t, "on")
			used[on] = true
			uses = append(uses, disk.Use{What: rapid.SampledFrom([]string{"/", "/boot", "swap"}).Draw(t, "what"), On: []string{on}, Known: true})
		}
		var climbs func(device string) bool
		climbs = func(device string) bool { return used[device] || slices.ContainsFunc(stack.Above[device], climbs) }

		got := disk.Protect(disks, stack, uses, func(string, disk.Use) string {
			t.Fatal("everything is known, and yet something is suspected")
			return ""
		})
		for _, d := range disks {
			if (got[d] != "") != climbs(d) {
				t.Fatalf("%s: protected %q, under a use %v", d, got[d], climbs(d))
			}
		}
	})
}

func TestProtect_EndsOnACircle(t *testing.T) {
	t.Parallel()
	stack := disk.Stack{Above: map[string][]string{"sda": {"dm-0"}, "dm-0": {"dm-1"}, "dm-1": {"dm-0"}}}
	got := disk.Protect([]string{"sda"}, stack, []disk.Use{{What: "/", On: []string{"dm-1"}, Known: true}}, nil)
	equal(t, "sda", got["sda"], "carries / (on dm-1, on dm-0)")
}

// Whatever names the kernel gives to the disks, the same serials are protected, in the same places.
func TestSource_ProtectionFollowsTheDiskAndNotItsName(t *testing.T) {
	t.Parallel()
	build := func(t *rapid.T, names []string, root []int) map[string]string {
		dir, err := os.MkdirTemp("", "glia-disk")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		h := newHostIn(t, dir)
		var members []string
		for i, name := range names {
			h.sata(name, fmt.Sprintf("S%d", i), i+1)
			h.part(name, name+"1", 1, 2048, 4096)
			if slices.Contains(root, i) {
				members = append(members, name+"1")
			}
		}
		h.on("md0", members...)
		h.mapped("dm-0", "vg-root", "LVM-x", "md0")
		h.mount("dm-0", "/", "ext4")
		disks, err := (&disk.Source{Root: dir}).Scan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, d := range disks {
			out[d.Serial()] = fmt.Sprint(d.Location.Place(), d.Protected != "")
		}
		for i := range names {
			if want := fmt.Sprint(slices.Contains(root, i)); !strings.HasSuffix(out[fmt.Sprintf("S%d", i)], want) {
				t.Fatalf("S%d as %s: %q, protected should be %s", i, names[i], out[fmt.Sprintf("S%d", i)], want)
			}
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"sda", "sdb", "sdc", "sdaa"}
		root := rapid.SliceOfNDistinct(rapid.IntRange(0, len(names)-1), 1, 3, rapid.ID).Draw(t, "root")
		first := build(t, names, root)
		second := build(t, rapid.Permutation(names).Draw(t, "names"), root)
		if fmt.Sprint(first) != fmt.Sprint(second) {
			t.Fatalf("%v became %v", first, second)
		}
	})
}
