package probe

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"glia"
	"glia/nerve/disk/adminsocket"
)

// OSD asks the daemons of the Ceph OSDs whose data is on a disk, by their admin sockets:
//
//	osd.read_errors[UUID]     storage   reads of BlueStore that ended in an I/O error, since the daemon started
//	osd.spurious_reads[UUID]  interface reads with a wrong checksum that was right when read again, likewise; memory,
//	                                    kernel and controllers do that, too
//	osd.slow_ops[UUID]        latency   operations that are under way, or were in the last slowFor, for longer than
//	                                    the daemon's own limit
//
// It touches no disk, and needs neither the cluster nor a key. A daemon that does not run has no socket, which is
// unknown: whether it should run is the cluster's affair.
type OSD struct {
	// Sockets are patterns (path.Match) of the paths of sockets, with {id} for the OSD's id.
	Sockets []string
}

// slowFor is how long an operation counts after it was done: somewhat more than the time between two probes.
const slowFor = 2 * time.Minute

// Name is "osd".
func (o *OSD) Name() string { return "osd" }

// Probe asks the daemon of each OSD whose block device is on the disk.
func (o *OSD) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	var out []glia.Evidence
	for _, osd := range d.OSDs {
		if osd.Role != glia.RoleBlock || osd.ID < 0 || osd.UUID == "" {
			continue
		}
		out = append(out, o.ask(ctx, osd)...)
	}
	return out
}

func (o *OSD) ask(ctx context.Context, osd glia.OSD) []glia.Evidence {
	path, err := o.find(ctx, osd)
	if err != nil {
		return []glia.Evidence{o.saw(glia.Storage, "osd.read_errors", osd, glia.Evidence{Unknown: err.Error()})}
	}
	var out []glia.Evidence
	var reads adminsocket.Reads
	b, err := adminsocket.Ask(ctx, path, "perf dump")
	if err == nil {
		reads, err = adminsocket.DecodePerf(b)
	}
	if err != nil {
		out = append(out, o.saw(glia.Storage, "osd.read_errors", osd, glia.Evidence{Unknown: fmt.Sprintf("osd.%d: perf dump: %v", osd.ID, err)}))
	}
	count := func(class glia.EvidenceClass, what, words string, c adminsocket.Counter) {
		e := glia.Evidence{Value: float64(c.Value)}
		if c.Value > 0 {
			e.Detail = fmt.Sprintf("osd.%d has met %d %s since it started", osd.ID, c.Value, words)
		}
		if c.Known {
			out = append(out, o.saw(class, what, osd, e))
		}
	}
	count(glia.Storage, "osd.read_errors", "I/O errors at reading", reads.Errors)
	count(glia.Interface, "osd.spurious_reads", "reads that were right only when repeated", reads.Spurious)
	return append(out, o.saw(glia.Latency, "osd.slow_ops", osd, slowOps(ctx, path, osd)))
}

// slowOps counts the operations that are or were too slow.
func slowOps(ctx context.Context, path string, osd glia.OSD) glia.Evidence {
	n, longest := 0, time.Duration(0)
	for _, command := range []string{"dump_blocked_ops", "dump_historic_slow_ops"} {
		var ops []adminsocket.Op
		b, err := adminsocket.Ask(ctx, path, command)
		if err == nil {
			ops, err = adminsocket.DecodeOps(b)
		}
		if err != nil {
			return glia.Evidence{Unknown: fmt.Sprintf("osd.%d: %s: %v", osd.ID, command, err)}
		}
		for _, op := range ops {
			if op.Ago <= slowFor {
				n, longest = n+1, max(longest, op.Took)
			}
		}
	}
	e := glia.Evidence{Value: float64(n)}
	if n > 0 {
		e.Detail = fmt.Sprintf("%d operations of osd.%d took too long, up to %s", n, osd.ID, longest.Round(time.Millisecond))
	}
	return e
}

func (o *OSD) saw(class glia.EvidenceClass, what string, osd glia.OSD, e glia.Evidence) glia.Evidence {
	e.Class, e.Source, e.What = class, o.Name(), what+"["+osd.UUID+"]"
	return e
}

// find is the socket on which the very OSD answers.
func (o *OSD) find(ctx context.Context, osd glia.OSD) (string, error) {
	why := fmt.Errorf("osd.%d has no admin socket at %s: its daemon does not run, or keeps it elsewhere", osd.ID, strings.Join(o.Sockets, ", "))
	for _, pattern := range o.Sockets {
		paths, err := filepath.Glob(strings.ReplaceAll(pattern, "{id}", strconv.Itoa(osd.ID)))
		if err != nil {
			return "", fmt.Errorf("pattern %q: %w; correct it in the configuration", pattern, err)
		}
		for _, path := range paths {
			b, err := adminsocket.Ask(ctx, path, "status")
			if err == nil {
				if err = adminsocket.DecodeStatus(b, osd.UUID); err == nil {
					return path, nil
				}
			}
			if !errors.Is(err, adminsocket.ErrOther) { // of another cluster, or left by a daemon that is gone
				why = fmt.Errorf("osd.%d: %w", osd.ID, err)
			}
		}
	}
	return "", why
}
