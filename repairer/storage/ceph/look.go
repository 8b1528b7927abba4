package ceph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Look is everything that decisions need of a cluster, read within a moment. It is not changed once it
// is made.
type Look struct {
	At       time.Time
	Status   Status
	Map      Map
	Tree     Tree
	Rules    map[int]Rule
	Versions map[string]int
	Usage    map[int]Usage
	Unfit    []PG            // all PGs that are not settled
	Latency  map[int]float64 // ms, by OSD
}

// LookAt reads the whole state. Half a look is none: when one command gets no usable answer, the error says
// which.
func LookAt(ctx context.Context, c Cluster, fsid string, now func() time.Time) (Look, error) {
	l := Look{At: now()}
	steps := []struct {
		mgr  bool
		cmd  Command
		read func(b []byte) error
	}{
		{false, Command{"prefix": "status"}, into(&l.Status, DecodeStatus)},
		{false, Command{"prefix": "osd dump"}, into(&l.Map, DecodeMap)},
		{false, Command{"prefix": "osd tree"}, into(&l.Tree, DecodeTree)},
		{false, Command{"prefix": "osd crush rule dump"}, into(&l.Rules, DecodeRules)},
		{false, Command{"prefix": "versions"}, into(&l.Versions, DecodeVersions)},
		{true, Command{"prefix": "osd df"}, into(&l.Usage, DecodeUsage)},
		{true, Command{"prefix": "pg ls", "states": unfit}, into(&l.Unfit, DecodePGs)},
		{true, Command{"prefix": "osd perf"}, into(&l.Latency, DecodeLatency)},
	}
	for _, s := range steps {
		var b []byte
		var err error
		if s.mgr {
			b, err = c.Mgr(ctx, s.cmd)
		} else {
			b, err = c.Mon(ctx, s.cmd, nil)
		}
		if err == nil {
			err = s.read(b)
		}
		if err != nil {
			return Look{}, err
		}
		if l.Map.FSID != "" && l.Map.FSID != fsid {
			return Look{}, fmt.Errorf("this is the cluster %s, not %s: the configuration of the repairer leads to another one", l.Map.FSID, fsid)
		}
	}
	return l, nil
}

func into[T any](to *T, decode func([]byte) (T, error)) func([]byte) error {
	return func(b []byte) (err error) {
		*to, err = decode(b)
		return err
	}
}

// pgsOf are the PGs that have a copy on one of the OSDs, or are to have one.
func pgsOf(ctx context.Context, c Cluster, l Look, ids []int) ([]PG, error) {
	seen := map[string]bool{}
	var out []PG
	add := func(p PG) {
		if !seen[p.ID] {
			seen[p.ID] = true
			out = append(out, p)
		}
	}
	for _, id := range ids {
		if !l.Map.OSDs[id].Up {
			continue // the manager refuses to tell; no PG is on it
		}
		b, err := c.Mgr(ctx, Command{"prefix": "pg ls-by-osd", "osd": id})
		var said *CommandError
		if errors.As(err, &said) && said.Errno == eagain {
			continue // it has gone down since the look
		}
		if err != nil {
			return nil, err
		}
		pgs, err := DecodePGs(b)
		if err != nil {
			return nil, err
		}
		for _, p := range pgs {
			add(p)
		}
	}
	for _, p := range l.Unfit {
		if p.Touches(ids) {
			add(p)
		}
	}
	return out, nil
}

// safe asks the manager whether the OSDs may be destroyed, all together.
func safe(ctx context.Context, c Cluster, m Map, ids []int) Answer {
	if a := exist(m, ids); a.Is != Yes {
		return a
	}
	b, err := c.Mgr(ctx, Command{"prefix": "osd safe-to-destroy", "ids": words(ids)})
	return SafeToDestroy(m, ids, b, err)
}

// stoppable asks the manager whether the OSDs may be stopped, all together.
func stoppable(ctx context.Context, c Cluster, m Map, ids []int) Answer {
	if a := exist(m, ids); a.Is != Yes {
		return a
	}
	b, err := c.Mgr(ctx, Command{"prefix": "osd ok-to-stop", "ids": words(ids)})
	return OkToStop(m, ids, b, err)
}

// steadyWords are an error in words that stay the same while the trouble does.
func steadyWords(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrSilent.Error()
	}
	return err.Error()
}

// union are the ids of both, each once, in order.
func union(a, b []int) []int {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
