package kill_test

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/program/repairerd"
	"glia/repairer"
)

// point is one instant of a repair: just before or just after the call with that number. The zero
// point never comes.
type point struct {
	call  int
	after bool
}

func (p point) String() string {
	if p.after {
		return strconv.Itoa(p.call) + ":after"
	}
	return strconv.Itoa(p.call) + ":before"
}

func parsePoint(s string) (point, error) {
	if s == "" {
		return point{}, nil
	}
	number, side, _ := strings.Cut(s, ":")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || side != "before" && side != "after" {
		return point{}, fmt.Errorf("point %q: want a number and a side, such as 17:after", s)
	}
	return point{n, side == "after"}, nil
}

// counter counts the calls that change something and ends the process at one of them. It is safe for
// concurrent use.
type counter struct {
	at      point
	journal *os.File // one line a call, written before it

	mu    sync.Mutex
	calls int
	read  map[string]bool // calls that only read, since the last one that did not
}

// change carries out a call that changes something, if the process lives that long.
func (c *counter) change(what string, do func()) {
	c.mu.Lock()
	c.read = map[string]bool{}
	n := c.count(what)
	c.mu.Unlock()
	c.carryOut(n, do)
}

// look carries out a call that asks something of a host. The engine repeats such calls for as long as
// it waits, so only the first one between two changes is a point.
func (c *counter) look(what string, do func()) {
	c.mu.Lock()
	n := 0
	if !c.read[what] {
		if c.read == nil {
			c.read = map[string]bool{}
		}
		c.read[what] = true
		n = c.count(what)
	}
	c.mu.Unlock()
	c.carryOut(n, do)
}

func (c *counter) count(what string) int {
	c.calls++
	if _, err := fmt.Fprintf(c.journal, "%d %s\n", c.calls, what); err != nil {
		panic(err)
	}
	return c.calls
}

func (c *counter) carryOut(n int, do func()) {
	if n > 0 && c.at == (point{n, false}) {
		c.die()
	}
	do()
	if n > 0 && c.at == (point{n, true}) {
		c.die()
	}
}

// die is kill -9 of this process. Nothing is closed, flushed or told.
func (c *counter) die() {
	if _, err := fmt.Fprintf(c.journal, "killed %s\n", c.at); err != nil {
		panic(err)
	}
	_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
	select {}
}

func (c *counter) parts() repairerd.Parts {
	return repairerd.Parts{
		Store:   func(s repairer.Store) repairer.Store { return countedStore{s, c} },
		Hosts:   func(h repairer.Hosts) repairer.Hosts { return countedHosts{h, c} },
		Tracker: func(t repairer.Tracker) repairer.Tracker { return countedTracker{t, c} },
	}
}

type countedStore struct {
	repairer.Store
	c *counter
}

func (s countedStore) Open(ctx context.Context, e repairer.Event) (out repairer.Case, err error) {
	s.c.change("store: open", func() { out, err = s.Store.Open(ctx, e) })
	return out, err
}

func (s countedStore) Append(ctx context.Context, events ...repairer.Event) (out repairer.Case, err error) {
	what := "store: append"
	for _, e := range events {
		what += " " + strings.TrimSpace(string(e.Kind)+" "+e.Step)
	}
	s.c.change(what, func() { out, err = s.Store.Append(ctx, events...) })
	return out, err
}

func (s countedStore) AddPause(ctx context.Context, p repairer.Pause) (out repairer.Pause, err error) {
	s.c.change("store: add pause", func() { out, err = s.Store.AddPause(ctx, p) })
	return out, err
}

func (s countedStore) EndPauses(ctx context.Context, scope, person, reason string, now time.Time) (out []repairer.Pause, err error) {
	s.c.change("store: end pauses", func() { out, err = s.Store.EndPauses(ctx, scope, person, reason, now) })
	return out, err
}

func (s countedStore) Forgive(ctx context.Context, serial string, e repairer.Event) (err error) {
	s.c.change("store: forgive", func() { err = s.Store.Forgive(ctx, serial, e) })
	return err
}

func (s countedStore) Set(ctx context.Context, key, value string, e repairer.Event) (err error) {
	s.c.change("store: set "+key, func() { err = s.Store.Set(ctx, key, value, e) })
	return err
}

type countedHosts struct {
	repairer.Hosts
	c *counter
}

func (h countedHosts) Probe(ctx context.Context, host, serial string) (out glia.DiskStatus, err error) {
	h.c.look("host: probe "+serial, func() { out, err = h.Hosts.Probe(ctx, host, serial) })
	return out, err
}

func (h countedHosts) Fence(ctx context.Context, host string, epoch uint64) (err error) {
	h.c.look("host: fence", func() { err = h.Hosts.Fence(ctx, host, epoch) })
	return err
}

func (h countedHosts) Execute(ctx context.Context, host string, o *gliav1.Order) (out *gliav1.ExecuteResponse, err error) {
	count := h.c.change
	if o.GetVerb() == gliav1.Verb_VERB_INSPECT {
		count = h.c.look
	}
	count("host: "+verb(o), func() { out, err = h.Hosts.Execute(ctx, host, o) })
	return out, err
}

func verb(o *gliav1.Order) string {
	return strings.ToLower(strings.TrimPrefix(o.GetVerb().String(), "VERB_"))
}

type countedTracker struct {
	repairer.Tracker
	c *counter
}

func (t countedTracker) File(ctx context.Context, key string, k repairer.Ticket) (id string, err error) {
	t.c.change("tracker: file", func() { id, err = t.Tracker.File(ctx, key, k) })
	return id, err
}

func (t countedTracker) Update(ctx context.Context, id, title, body string) (err error) {
	t.c.change("tracker: update", func() { err = t.Tracker.Update(ctx, id, title, body) })
	return err
}

func (t countedTracker) Attach(ctx context.Context, key, id, name string, data []byte) (err error) {
	t.c.change("tracker: attach", func() { err = t.Tracker.Attach(ctx, key, id, name, data) })
	return err
}

func (t countedTracker) Comment(ctx context.Context, key, id, text string) (err error) {
	t.c.change("tracker: comment", func() { err = t.Tracker.Comment(ctx, key, id, text) })
	return err
}

func (t countedTracker) Reopen(ctx context.Context, key, id, text string) (err error) {
	t.c.change("tracker: reopen", func() { err = t.Tracker.Reopen(ctx, key, id, text) })
	return err
}

func (t countedTracker) Close(ctx context.Context, key, id, text string) (err error) {
	t.c.change("tracker: close", func() { err = t.Tracker.Close(ctx, key, id, text) })
	return err
}

// A method that is added to a port and changes something would not be killed at. So each must be
// counted above, or be known to change nothing.
func TestPoints_CoverEveryMethod(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		port           reflect.Type
		counted, reads []string
	}{
		{reflect.TypeFor[repairer.Store](), []string{"Open", "Append", "AddPause", "EndPauses", "Forgive", "Set"}, []string{"Epoch", "Held", "Newest", "Case", "Cases", "EachCase", "CasesSince", "Current", "LastCase", "Retired", "Events", "Changed", "Pauses", "Get"}},
		{reflect.TypeFor[repairer.Hosts](), []string{"Probe", "Execute", "Fence"}, []string{"Disks"}},
		{reflect.TypeFor[repairer.Tracker](), []string{"File", "Update", "Attach", "Comment", "Reopen", "Close"}, []string{"Find", "Ticket"}},
	} {
		for i := range tc.port.NumMethod() {
			if name := tc.port.Method(i).Name; !slices.Contains(tc.counted, name) && !slices.Contains(tc.reads, name) {
				t.Errorf("nothing is killed at %s.%s: count it in points_test.go, or name it here as one that changes nothing", tc.port, name)
			}
		}
	}
}
