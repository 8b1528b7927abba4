package memory_test

import (
	"errors"
	"testing"
	"time"

	"glia/registry"
	"glia/registry/memory"
	"glia/registry/registrytest"
)

// ttl is that of the leases of the tests.
const ttl = time.Second

type election struct{ *memory.Election }

func (e election) Candidate(_ *testing.T, holder string) registrytest.Candidate {
	return e.Elector(holder)
}
func (e election) Within() time.Duration   { return 2 * ttl }
func (e election) Sessions(*testing.T) int { return e.Leases() }
func (e election) Depose(*testing.T)       { e.Election.Depose() }
func (e election) Restart(*testing.T)      { e.Fail(errors.New("away")); e.Fail(nil) }
func (e election) Args(bool) []string      { return nil }

func (e election) LoseQuorum(*testing.T) (words string, mend func()) {
	e.Fail(errors.New("no quorum"))
	return "no quorum", func() { e.Fail(nil) }
}

func TestElector_Contract(t *testing.T) {
	t.Parallel()
	registrytest.RunElection(t, func(*testing.T) registrytest.Election { return election{memory.NewElection(ttl)} })
}

func TestElector_TellsWhoLeads(t *testing.T) {
	t.Parallel()
	e := memory.NewElection(time.Minute)
	watcher := e.Elector("watcher")
	leads := func(want registry.Leader) {
		t.Helper()
		if l, err := watcher.Leader(t.Context()); err != nil || l != want {
			t.Errorf("leader %+v, %v, want %+v", l, err, want)
		}
	}
	leads(registry.Leader{})
	l, err := e.Elector("first").Lead(t.Context(), 41)
	if err != nil {
		t.Fatal(err)
	}
	leads(registry.Leader{Holder: "first", Epoch: 42})
	if err := l.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	leads(registry.Leader{Epoch: 42})
}
