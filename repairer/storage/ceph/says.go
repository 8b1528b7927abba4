package ceph

import (
	"slices"
	"strings"
	"time"

	"glia"
)

// says turns the signs of a cluster into reasons of class storage against disks, by serial; disks are those of each
// host. A sign of an OSD is held against the disk with its block device; one that all OSDs of a DB or WAL disk
// show, two at least, against that disk too. What the network may do as well counts only while no OSD of another
// disk of the host shows it.
func says(l Look, fsid string, signs []Sign, disks map[string][]glia.Disk) map[string][]glia.Reason {
	out := map[string][]glia.Reason{}
	for host, list := range disks {
		for _, d := range list {
			for _, kind := range []SignKind{Flapping, SlowOps, BadCopies, EndOfLife} {
				if (kind == Flapping || kind == SlowOps) && elsewhere(l, signs, kind, host, d) {
					continue
				}
				if r, ok := reasonOf(against(l, fsid, signs, kind, d), l.At); ok {
					out[d.Serial()] = append(out[d.Serial()], r)
				}
			}
		}
	}
	return out
}

// elsewhere says whether OSDs of the host show a sign that need nothing of the disk.
func elsewhere(l Look, signs []Sign, kind SignKind, host string, d glia.Disk) bool {
	return slices.ContainsFunc(signs, func(s Sign) bool {
		return s.Kind == kind && l.Tree.Host(s.OSD) == host && !slices.Contains(idsOf(d), s.OSD)
	})
}

// against are the signs of one kind that speak against a disk.
func against(l Look, fsid string, signs []Sign, kind SignKind, d glia.Disk) []Sign {
	var out, shared []Sign
	var served, showing []int // OSDs that have only their DB or WAL there
	for _, o := range d.OSDs {
		if o.Cluster != fsid || o.ID < 0 || l.Map.OSDs[o.ID].UUID != o.UUID {
			continue
		}
		for _, s := range signs {
			switch {
			case s.OSD != o.ID || s.Kind != kind || kind == EndOfLife && !isDevice(s.Device, d.Serial()):
			case kind == EndOfLife || o.Role == glia.RoleBlock:
				out = append(out, s)
			default:
				shared, showing = append(shared, s), union(showing, []int{o.ID})
			}
		}
		if o.Role != glia.RoleBlock {
			served = union(served, []int{o.ID})
		}
	}
	if len(served) > 1 && len(showing) == len(served) {
		out = append(out, shared...)
	}
	return out
}

// isDevice says whether the cluster's name of a device is that of the disk with the serial: it ends in it, with _
// for what is no letter or digit (BlkDev::get_device_id of Ceph).
func isDevice(device, serial string) bool {
	plain := strings.ReplaceAll(serial, " ", "_")
	return plain != "" && (device == plain || strings.HasSuffix(device, "_"+plain))
}

// reasonOf makes one reason of the signs of one kind.
func reasonOf(signs []Sign, at time.Time) (glia.Reason, bool) {
	if len(signs) == 0 {
		return glia.Reason{}, false
	}
	var words []string
	state := glia.StateSuspect
	for _, s := range signs {
		if !slices.Contains(words, s.Words) {
			words = append(words, s.Words)
		}
		if s.Strong {
			state = glia.StateFailing
		}
	}
	what := "ceph." + strings.ReplaceAll(string(signs[0].Kind), " ", "_")
	return glia.Reason{
		Rule: what, Class: glia.Storage, State: state, Words: "the Ceph cluster has this against the disk: " + string(signs[0].Kind), Since: at,
		Evidence: glia.Evidence{Class: glia.Storage, Source: Name, What: what, Value: float64(len(signs)), Detail: strings.Join(words, "; "), At: at},
	}, true
}
