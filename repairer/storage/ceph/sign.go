package ceph

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SignKind is a way in which a cluster shows that something is wrong with the disk under an OSD.
type SignKind string

// The kinds of signs. The network makes OSDs flap and hang as well.
const (
	Flapping  SignKind = "flapping"        // it goes down and comes back, again and again
	SlowOps   SignKind = "slow ops"        // operations hang in it
	BadCopies SignKind = "scrub errors"    // its copies of objects are wrong, or can not be read
	EndOfLife SignKind = "life expectancy" // the cluster's prediction, which is made of what SMART says
)

// Sign is one thing that a cluster has against an OSD, or against a device of it.
type Sign struct {
	OSD    int
	Kind   SignKind
	Device string // of EndOfLife: its name in the cluster, which ends in its serial
	Words  string
	Strong bool // it may stand beside another witness
}

// Symptoms are what signs are read from, beside a look.
type Symptoms struct {
	Health       map[string][]string // by name of check: its message and its details
	Inconsistent []PG                // PGs with copies that differ
	Repaired     map[int]int         // copies that an OSD has mended since it started
	Devices      []Device
	Boots        map[int]int // how often an OSD has come up within bootsFor, as far as this driver has seen
}

// Device is one device of the cluster, of device ls.
type Device struct {
	Name    string // vendor, model and serial, with _ between them
	OSDs    []int
	Expects time.Time // the latest end of its life that is predicted; zero: nothing is
}

// The measures.
const (
	bootsFor    = 24 * time.Hour
	manyBoots   = 3                      // more than a restart and an upgrade
	laggy       = 0.5                    // osd_xinfo's laggy_probability: two times taken for dead while alive give 0.51 (mon_osd_laggy_weight 0.3)
	manyRepairs = 3                      // as many as the nerve's own rule on read errors of an OSD wants
	nearEnd     = 4 * 7 * 24 * time.Hour // mark_out_threshold of the manager's module devicehealth
)

// symptoms asks the cluster. What one release does not tell is left out; no answer at all is an error.
func symptoms(ctx context.Context, c Cluster, boots map[int]int) (Symptoms, error) {
	s := Symptoms{Boots: boots}
	for _, q := range []struct {
		mgr  bool
		cmd  Command
		read func([]byte) error
	}{
		{false, Command{"prefix": "health", "detail": "detail"}, into(&s.Health, DecodeHealth)},
		{true, Command{"prefix": "pg ls", "states": []string{"inconsistent"}}, into(&s.Inconsistent, DecodePGs)},
		{true, Command{"prefix": "pg dump", "dumpcontents": []string{"osds"}}, into(&s.Repaired, DecodeRepaired)},
		{true, Command{"prefix": "device ls"}, into(&s.Devices, DecodeDevices)},
	} {
		var b []byte
		var err error
		if q.mgr {
			b, err = c.Mgr(ctx, q.cmd)
		} else {
			b, err = c.Mon(ctx, q.cmd, nil)
		}
		if err == nil {
			err = q.read(b)
		}
		if err != nil {
			return Symptoms{}, err
		}
	}
	return s, nil
}

// SignsOf asks a cluster what it has against its OSDs. How often they came up is known only to who has looked for
// a while.
func SignsOf(ctx context.Context, c Cluster, l Look) ([]Sign, error) {
	s, err := symptoms(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	return Signs(l, s), nil
}

// Signs are what a cluster has against single OSDs, in the order of their ids. It is pure.
func Signs(l Look, s Symptoms) []Sign {
	var out []Sign
	add := func(id int, kind SignKind, strong bool, format string, args ...any) {
		if l.Map.OSDs[id].Is("exists") && !slices.ContainsFunc(out, func(o Sign) bool { return o.OSD == id && o.Kind == kind && o.Device == "" }) {
			out = append(out, Sign{OSD: id, Kind: kind, Strong: strong, Words: name(id) + " " + fmt.Sprintf(format, args...)})
		}
	}
	for id, o := range l.Map.OSDs {
		switch {
		case s.Boots[id] >= manyBoots:
			add(id, Flapping, true, "came up %d times within %s", s.Boots[id], bootsFor)
		case o.Laggy >= laggy && l.At.Sub(o.DownAt) < bootsFor:
			add(id, Flapping, true, "was taken for dead again and again while it lived, last at %s", o.DownAt.UTC().Format(time.RFC3339))
		}
	}
	for id, n := range s.Repaired {
		if n > 0 {
			add(id, BadCopies, n >= manyRepairs, "has mended %d copies of objects that it could not read, or had wrong", n)
		}
	}
	for check, kind := range signChecks {
		for _, message := range s.Health[check] {
			for _, id := range osdsIn(message) {
				add(id, kind, true, "is named by the health check %s: %s", check, strings.TrimSpace(message))
			}
		}
	}
	if id, ok := common(s.Inconsistent); ok {
		add(id, BadCopies, true, "is the one OSD that all %d inconsistent PGs share", len(s.Inconsistent))
	}
	for _, d := range s.Devices {
		if d.Expects.IsZero() || d.Expects.Sub(l.At) > nearEnd {
			continue
		}
		for _, id := range d.OSDs {
			out = append(out, Sign{OSD: id, Kind: EndOfLife, Device: d.Name, Words: fmt.Sprintf("the cluster expects device %s of %s to last until %s at most", d.Name, name(id), d.Expects.UTC().Format(time.DateOnly))})
		}
	}
	slices.SortFunc(out, func(a, b Sign) int {
		return strings.Compare(fmt.Sprintf("%08d %s %s", a.OSD, a.Kind, a.Words), fmt.Sprintf("%08d %s %s", b.OSD, b.Kind, b.Words))
	})
	return out
}

// signChecks are the health checks that name OSDs because of their disks (Ceph's health check reference).
var signChecks = map[string]SignKind{
	"SLOW_OPS": SlowOps, "BLUESTORE_SLOW_OP_ALERT": SlowOps, "OSD_TOO_MANY_REPAIRS": BadCopies, "BLUESTORE_SPURIOUS_READ_ERRORS": BadCopies,
}

// common is the one OSD that has a copy of all PGs, of which there must be two at least.
func common(pgs []PG) (int, bool) {
	if len(pgs) < 2 {
		return 0, false
	}
	in := slices.Clone(pgs[0].Acting)
	for _, p := range pgs[1:] {
		in = slices.DeleteFunc(in, func(id int) bool { return !slices.Contains(p.Acting, id) })
	}
	if len(in) != 1 {
		return 0, false
	}
	return in[0], true
}

var osdName = regexp.MustCompile(`\bosd\.([0-9]{1,9})\b`)

func osdsIn(message string) []int {
	var out []int
	for _, m := range osdName.FindAllStringSubmatch(message, -1) {
		id, _ := strconv.Atoi(m[1])
		out = append(out, id)
	}
	return out
}

// boot is when an OSD was seen to have come up.
type boot struct {
	from int // epoch
	at   time.Time
}

// booted keeps when OSDs come up. What was so at the first look of this life counts as one boot before it, which
// is not within any time.
func booted(seen map[int][]boot, l Look) {
	for id, o := range l.Map.OSDs {
		list := seen[id]
		switch {
		case o.UpFrom == 0:
		case len(list) == 0:
			seen[id] = []boot{{from: o.UpFrom}}
		case list[len(list)-1].from != o.UpFrom:
			list = append(list, boot{o.UpFrom, l.At})
			seen[id] = slices.DeleteFunc(list, func(b boot) bool { return b.from != o.UpFrom && l.At.Sub(b.at) > bootsFor })
		}
	}
	maps.DeleteFunc(seen, func(id int, _ []boot) bool { _, there := l.Map.OSDs[id]; return !there })
}

// boots counts what was kept.
func boots(seen map[int][]boot, now time.Time) map[int]int {
	out := map[int]int{}
	for id, list := range seen {
		for _, b := range list {
			if !b.at.IsZero() && now.Sub(b.at) <= bootsFor {
				out[id]++
			}
		}
	}
	return out
}
