package kmsg

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// Names tells which disks, by serial, the kernel may mean by a name: of a block device (sda, sda1, dm-3),
// a SCSI address (2:0:0:0) or target (target2:0:0), an ATA port (ata3), an NVMe controller (nvme0), or a
// host bus adapter (0000:3b:00.0, mpt3sas_cm0). Only a device that lies on one disk alone has a name of it.
type Names map[string][]string

// Mounts tells the mounts of block devices apart, by the kernel names of the devices: a number that is another
// one after each mount, for the filesystems that have such a number.
type Mounts map[string]uint64

// Book is what was charged so far. It is pure: it reads neither the log nor a clock. It is not safe for
// concurrent use.
type Book struct {
	Boot   string              `json:"boot"`            // boot that Next and Names are of
	Next   uint64              `json:"next"`            // number of the first message that is not charged
	Names  Names               `json:"names"`           // at the newest look; nil before the first in this boot
	Mounts Mounts              `json:"mounts"`          // at the newest look
	Disks  map[string]*Account `json:"disks,omitempty"` // by serial

	Lost      uint64          `json:"lost"`      // messages that were overwritten before they were read
	Uncharged map[Kind]uint64 `json:"uncharged"` // messages about disks that can not be told which

	// Read, and to be charged at the next look.
	page page
	read uint64 // as Next, of what was read
	lost uint64
}

// Account is what was said about one disk.
type Account struct {
	Counts map[Kind]uint64 `json:"counts,omitempty"`
	Last   map[Kind]Said   `json:"last,omitempty"`
	Marks  map[string]Mark `json:"marks,omitempty"` // filesystems that the kernel gave up, by name of the device
	Seen   time.Time       `json:"seen"`            // when a look last showed the disk
}

// Said is one message.
type Said struct {
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// Mark is what the kernel did to a filesystem that is still mounted.
type Mark struct {
	Kind Kind `json:"kind"` // ReadOnly, Shutdown or Requested
	Said
}

// forgetAfter is when the account of a disk that is not there any more is closed.
const forgetAfter = 30 * 24 * time.Hour

// entry is one or several messages of one kind about one name, with no other between that changes what the
// name means.
type entry struct {
	Kind  Kind
	About string
	Count uint64
	Last  Said
}

// page gathers entries in the order of the log, in a memory bounded by the names in it.
type page struct {
	entries []entry
	at      map[[2]string]int // of kind and name, since the newest turn
}

func (p *page) add(kind Kind, about string, said Said) {
	key := [2]string{string(kind), about}
	turn := kind == Attached || kind == Mounted
	if i, ok := p.at[key]; ok && !turn {
		p.entries[i].Count++
		p.entries[i].Last = said
		return
	}
	if turn || p.at == nil {
		p.at = map[[2]string]int{}
	}
	if !turn {
		p.at[key] = len(p.entries)
	}
	p.entries = append(p.entries, entry{kind, about, 1, said})
}

// Read takes messages. They are charged at the next look, which must begin after them. boot is the id of the
// running boot; wall tells the time of a message.
func (b *Book) Read(boot string, records iter.Seq[Record], wall func(time.Duration) time.Time) {
	if b.Boot != boot {
		*b = Book{Boot: boot, Disks: b.Disks, Lost: b.Lost, Uncharged: b.Uncharged}
		b.unmark(func(string, string) bool { return true })
	}
	b.read = max(b.read, b.Next)
	for r := range records {
		if r.Seq < b.read {
			continue
		}
		if b.read > 0 {
			b.lost += r.Seq - b.read
		}
		b.read = r.Seq + 1
		if kind, about, ok := Classify(r); ok {
			b.page.add(kind, about, Said{r.Text, wall(r.At)})
		}
	}
}

// Look charges what was read, now that it is known what the names stand for after it.
//
// A message is charged to whom its name stood for at the looks before and after it. Where the log shows
// between the two that the name was taken by a device, it is the one before for messages before that, and
// the one after for those after. In all other cases it is nobody's.
//
// The kernel limits how often it tells that a filesystem was mounted. So a new mount that shows in mounts ends what
// was said of the device, up to now: what was said of which mount since the last look is not known.
func (b *Book) Look(names Names, mounts Mounts, now time.Time) {
	if b.lost > 0 {
		// Among what was lost may be that a filesystem was mounted anew.
		b.unmark(func(string, string) bool { return true })
	}
	for serial, a := range b.Disks {
		if now.Sub(a.Seen) > forgetAfter {
			delete(b.Disks, serial)
		}
	}
	for _, serials := range names {
		for _, s := range serials {
			b.account(s).Seen = now
		}
	}
	for i, e := range b.page.entries {
		b.charge(e, owners(b.page.entries, i, b.Names, names, b.lost > 0))
	}
	b.unmark(func(serial, device string) bool {
		return !slices.Contains(names[device], serial) || b.Mounts != nil && b.Mounts[device] != mounts[device]
	})
	if names == nil {
		names = Names{}
	}
	if mounts == nil {
		mounts = Mounts{}
	}
	b.Names, b.Mounts, b.Next, b.Lost = names, mounts, b.read, b.Lost+b.lost
	b.page, b.lost = page{}, 0
}

// charge books one entry.
func (b *Book) charge(e entry, owners []string) {
	switch e.Kind {
	case Attached:
		return
	case Mounted:
		b.unmark(func(_, device string) bool { return device == e.About })
		return
	case ControllerReset: // of all disks behind it
	default:
		if len(owners) != 1 {
			owners = nil
		}
	}
	if len(owners) == 0 {
		if b.Uncharged == nil {
			b.Uncharged = map[Kind]uint64{}
		}
		b.Uncharged[e.Kind] += e.Count
	}
	for _, serial := range owners {
		a := b.account(serial)
		if e.Kind == ReadOnly || e.Kind == Shutdown || e.Kind == Requested {
			if a.Marks == nil {
				a.Marks = map[string]Mark{}
			}
			if _, marked := a.Marks[e.About]; !marked { // what it said first tells most
				a.Marks[e.About] = Mark{e.Kind, e.Last}
			}
			continue
		}
		if a.Counts == nil {
			a.Counts, a.Last = map[Kind]uint64{}, map[Kind]Said{}
		}
		a.Counts[e.Kind] += e.Count
		a.Last[e.Kind] = e.Last
	}
}

func (b *Book) account(serial string) *Account {
	if b.Disks == nil {
		b.Disks = map[string]*Account{}
	}
	if b.Disks[serial] == nil {
		b.Disks[serial] = &Account{}
	}
	return b.Disks[serial]
}

func (b *Book) unmark(which func(serial, device string) bool) {
	for serial, a := range b.Disks {
		maps.DeleteFunc(a.Marks, func(device string, _ Mark) bool { return which(serial, device) })
	}
}

// owners are the disks that entry i is about. was and is are the names at the looks before and after it; was
// is nil without a look before.
func owners(entries []entry, i int, was, is Names, lost bool) []string {
	about, looked := entries[i].About, was != nil
	taken := func(entries []entry) bool {
		return slices.ContainsFunc(entries, func(e entry) bool { return e.Kind == Attached && Within(about, e.About) })
	}
	before, after := taken(entries[:i]), taken(entries[i+1:])
	switch {
	case before && after:
		return nil // of a disk that came and went between the looks
	case !looked && !toldWhenTaken.MatchString(about):
		return nil
	case before:
		return is[about]
	case after && (lost || !looked):
		return nil
	case after:
		return was[about]
	case !looked, len(was[about]) == 0:
		return is[about]
	case len(is[about]) == 0:
		return was[about]
	}
	var both []string
	for _, serial := range was[about] {
		if slices.Contains(is[about], serial) {
			both = append(both, serial)
		}
	}
	if len(both) < max(len(was[about]), len(is[about])) && entries[i].Kind != ControllerReset {
		return nil
	}
	return both
}

// toldWhenTaken are the names of which the log always tells when a device takes them: see Attached. Of loop
// devices it does not when many come at once.
var toldWhenTaken = re(`^(?:sd[a-z]+\d*|vd[a-z]+\d*|nvme\d+(?:n\d+(?:p\d+)?)?|ata\d+|\d+:\d+:\d+:\d+)$`)
