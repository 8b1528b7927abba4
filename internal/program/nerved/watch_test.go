package nerved

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	"glia"
)

// shelf is an inventory with a stamp.
type shelf struct {
	disks    []glia.Disk
	doubtful map[string]string
	stamp    int
	unread   error
	scans    int
}

func (s *shelf) Scan(context.Context) ([]glia.Disk, error) { return s.disks, nil }

func (s *shelf) ScanAll(context.Context) ([]glia.Disk, map[string]string, error) {
	s.scans++
	return s.disks, s.doubtful, nil
}

func (s *shelf) Stamp() (string, error) { return strconv.Itoa(s.stamp), s.unread }

// looks are what a watcher was told.
type looks []string

func (l *looks) Begin() { *l = append(*l, "begin") }

func (l *looks) Look(disks []glia.Disk, changed bool) {
	*l = append(*l, strconv.Itoa(len(disks))+" changed "+strconv.FormatBool(changed))
}

func TestWatchedInventory_IsUsedAgainWhileItsStampStays(t *testing.T) {
	t.Parallel()
	s, l := &shelf{disks: make([]glia.Disk, 2)}, &looks{}
	w := watched(s, l).(*watchedInventory) //nolint:forcetypeassert // it is what watched makes
	for _, tc := range []struct {
		name   string
		change func()
		scans  int // in all
		told   string
	}{
		{"there was no scan yet", func() {}, 1, "2 changed true"},
		{"nothing has changed", func() { s.disks = s.disks[:1] }, 1, "2 changed false"},
		{"its stamp is another", func() { s.stamp++ }, 2, "1 changed true"},
		{"a disk can not be told from another", func() { s.stamp, s.doubtful = s.stamp+1, map[string]string{"B": "twice"} }, 3, "1 changed true"},
		{"that may be over", func() { s.doubtful = nil }, 4, "1 changed true"},
		{"nobody can say", func() { s.unread = errors.New("no /proc") }, 5, "1 changed true"},
		{"one can say again", func() { s.unread = nil }, 6, "1 changed true"},
		{"and nothing has changed", func() {}, 6, "1 changed false"},
	} {
		tc.change()
		if _, _, err := w.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := (*l)[len(*l)-2:]; s.scans != tc.scans || !slices.Equal(got, []string{"begin", tc.told}) {
			t.Errorf("%s: %d scans, want %d; told %q, want %q", tc.name, s.scans, tc.scans, got, tc.told)
		}
	}
	if _, _, err := w.ScanAll(t.Context()); err != nil || s.scans != 7 {
		t.Errorf("a whole scan: %d scans, %v", s.scans, err)
	}
}

// slow is a shelf whose first scan ends only when it is let go.
type slow struct {
	*shelf
	looking, goOn chan struct{}
}

func (s slow) ScanAll(ctx context.Context) ([]glia.Disk, map[string]string, error) {
	found, doubtful, err := s.shelf.ScanAll(ctx)
	if s.scans == 1 {
		close(s.looking)
		<-s.goOn
	}
	return found, doubtful, err
}

// A scan that began before a disk was swapped, and ends after the one that the kernel's event has led to, is not what is
// used again.
func TestWatchedInventory_AnOldScanReplacesNoNewOne(t *testing.T) {
	t.Parallel()
	s := slow{&shelf{disks: make([]glia.Disk, 1)}, make(chan struct{}), make(chan struct{})}
	w := watched(s, &looks{}).(*watchedInventory) //nolint:forcetypeassert // it is what watched makes
	old := make(chan error, 1)
	go func() { _, _, err := w.ScanAll(context.Background()); old <- err }()
	<-s.looking
	s.disks = make([]glia.Disk, 2)
	if _, _, err := w.ScanAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(s.goOn)
	if err := <-old; err != nil {
		t.Fatal(err)
	}
	if found, _, err := w.Recheck(t.Context()); err != nil || len(found) != 2 || s.scans != 2 {
		t.Errorf("%d disks after %d scans, %v; want the 2 of the second one", len(found), s.scans, err)
	}
}
