package ceph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"glia"
	"glia/repairer"
)

var _ repairer.Surveyor = (*Driver)(nil)

// readers is how many hosts a survey asks at a time.
const readers = 16

// Survey compares the clusters with the disks of all their hosts, as their nerves tell them now, and asks the
// clusters what they have against single disks.
func (dr *Driver) Survey(ctx context.Context) repairer.Survey {
	out := repairer.Survey{Reasons: map[string][]glia.Reason{}}
	for _, fsid := range slices.Sorted(maps.Keys(dr.clusters)) {
		c := dr.clusters[fsid]
		l, err := c.see(ctx, 0, dr.now)
		if err != nil {
			out.Findings = append(out.Findings, fmt.Sprintf("what the cluster %s has is not known: %s", c.Settings.Name, steadyWords(err)))
			continue
		}
		disks := dr.read(ctx, l.Tree.Hosts())
		strays, err := c.strays(ctx, l, disks, dr.now)
		if err != nil {
			out.Findings = append(out.Findings, fmt.Sprintf("what the cluster %s has is not known: %s", c.Settings.Name, steadyWords(err)))
		}
		for _, f := range strays {
			out.Findings = append(out.Findings, "cluster "+c.Settings.Name+": "+f)
		}
		signs, err := c.signs(ctx, l)
		if err != nil {
			out.Findings = append(out.Findings, fmt.Sprintf("what the cluster %s has against its disks is not known: %s", c.Settings.Name, steadyWords(err)))
			continue
		}
		for _, s := range signs {
			out.Findings = append(out.Findings, "cluster "+c.Settings.Name+": "+s.Words)
		}
		for serial, r := range says(l, c.FSID, signs, disks) {
			out.Reasons[serial] = append(out.Reasons[serial], r...)
		}
	}
	return out
}

// strays are those of the look that a second one still has. To read all disks takes time, in which an OSD may have been
// made or destroyed: a person who is told to make its disk blank would do so.
func (c *cluster) strays(ctx context.Context, l Look, disks map[string][]glia.Disk, now func() time.Time) ([]string, error) {
	first := Strays(l, c.FSID, disks)
	if len(first) == 0 {
		return nil, nil
	}
	l, err := c.see(ctx, 0, now)
	if err != nil {
		return nil, err
	}
	second := Strays(l, c.FSID, disks)
	return slices.DeleteFunc(first, func(f string) bool { return !slices.Contains(second, f) }), nil
}

// signs are what the cluster has against single OSDs now.
func (c *cluster) signs(ctx context.Context, l Look) ([]Sign, error) {
	c.mu.Lock()
	came := boots(c.boots, l.At)
	c.mu.Unlock()
	s, err := symptoms(ctx, c.Cluster, came)
	if err != nil {
		return nil, err
	}
	return Signs(l, s), nil
}

// read asks the nerves of the hosts for their disks. A host that can not be asked has a nil list.
func (dr *Driver) read(ctx context.Context, hosts []string) map[string][]glia.Disk {
	out := map[string][]glia.Disk{}
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, readers)
	for _, h := range hosts {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			statuses, err := dr.hosts.Disks(ctx, h)
			disks := make([]glia.Disk, 0, len(statuses))
			for _, s := range statuses {
				if s.Verdict.State != glia.StateMissing {
					disks = append(disks, s.Disk)
				}
			}
			if err != nil {
				disks = nil
			}
			mu.Lock()
			defer mu.Unlock()
			out[h] = disks
		})
	}
	all.Wait()
	return out
}

// Strays are where a cluster and the disks of its hosts do not agree, in words: a disk with an OSD that the
// cluster does not know, an OSD whose disk no nerve tells, and hosts of OSDs whose nerve does not answer,
// which are the ones with a nil list. A disk whose OSD can not be told speaks for all OSDs of its host: one of
// them may be there.
func Strays(l Look, fsid string, disks map[string][]glia.Disk) []string {
	var out []string
	told := map[int]bool{}      // OSDs whose block device is on a disk
	blurred := map[string]int{} // disks with an OSD that can not be told, by host
	for _, host := range slices.Sorted(maps.Keys(disks)) {
		for _, d := range disks[host] {
			for _, o := range d.OSDs {
				switch known := l.Map.OSDs[o.ID]; {
				case o.ID < 0 || o.Unknown != "" && o.Cluster == "":
					blurred[host]++
				case o.Cluster != fsid:
				case !known.Is("exists") || known.UUID != o.UUID:
					out = append(out, fmt.Sprintf("%s has a part of %s (%s) that the cluster does not know: it was replaced or removed; a person makes the disk blank or takes it out", d, name(o.ID), o.UUID))
				case o.Role == glia.RoleBlock:
					told[o.ID] = true
				}
			}
		}
	}
	mute := map[string][]int{}
	for _, id := range slices.Sorted(maps.Keys(l.Map.OSDs)) {
		o := l.Map.OSDs[id]
		if told[id] || !o.Is("exists") || o.Is("destroyed") || o.Is("new") {
			continue
		}
		host := l.Tree.Host(id)
		seen, asked := disks[host]
		switch {
		case host == "":
			out = append(out, name(id)+" is on no host of the CRUSH tree: glia can not find its disk")
		case !asked || seen == nil:
			mute[host] = append(mute[host], id)
		case blurred[host] > 0:
			out = append(out, fmt.Sprintf("%s is on no disk that %s tells; %d of them can not be read", name(id), host, blurred[host]))
		case o.Up:
			out = append(out, fmt.Sprintf("%s is up and on no disk that %s tells: glia does not see that disk, and can not watch over it", name(id), host))
		default:
			out = append(out, fmt.Sprintf("%s is down and on no disk that %s tells: its disk is gone", name(id), host))
		}
	}
	for _, host := range slices.Sorted(maps.Keys(mute)) {
		which := names(mute[host])
		if len(mute[host]) > 3 {
			which = fmt.Sprintf("%d OSDs", len(mute[host]))
		}
		out = append(out, fmt.Sprintf("the disks of %s are not known, because no nerve of that name answers: %s", host, strings.TrimSpace(which)))
	}
	return out
}
