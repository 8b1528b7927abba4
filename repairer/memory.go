package repairer

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"glia"
)

// memory keeps in memory what every look needs of the store: the open cases, and what the gates ask of
// those that have ended. Each look reads the cases that have newer events than the newest one known,
// whoever wrote them. Between two looks it may be behind; the store refuses decisions that rest on that,
// see ErrMoved. It is safe for concurrent use.
type memory struct {
	moving  sync.Mutex // held while storm and breaker are read, moved and kept
	reading sync.Mutex // held while the store is read

	mu      sync.Mutex
	seq     uint64               // of the newest event that is known; 0: nothing was read yet
	open    []*Case              // in the order of their opening; neither the slice nor a case is ever changed
	ended   map[string]Past      // by case
	newest  time.Time            // of all that stands in the log
	alarms  map[string]time.Time // false alarms, by case
	taken   uint64               // grows whenever more serials may have been retired
	domains map[string][]string  // of hosts
	agreed  map[string]agreement // of open cases
}

// agreement says that a case was up to date with the disk as the view had it.
type agreement struct {
	seq     uint64    // of the case
	fetched time.Time // when the detail of the host was read
	verdict glia.Verdict
}

// agrees gives the verdict of the last review, if neither case nor view has changed since and the
// verdict has not expired.
func (m *memory) agrees(c Case, h *glia.HostView, now time.Time) (glia.Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.agreed[c.ID]
	ok = ok && h != nil && h.Member.Status == glia.MemberAlive && a.seq == c.Seq && a.fetched.Equal(h.FetchedAt)
	return a.verdict, ok && !a.verdict.ExpiresAt.IsZero() && !now.After(a.verdict.ExpiresAt)
}

// agree notes that a case is up to date with the view.
func (m *memory) agree(c Case, h *glia.HostView) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.agreed == nil {
		m.agreed = map[string]agreement{}
	}
	m.agreed[c.ID] = agreement{c.Seq, h.FetchedAt, c.Verdict}
}

// look brings the memory up to date with the store and returns the open cases.
func (m *memory) look(ctx context.Context, st Store) ([]*Case, error) {
	m.reading.Lock()
	defer m.reading.Unlock()
	m.mu.Lock()
	seq := m.seq
	m.mu.Unlock()
	var changed []Case
	var err error
	if seq > 0 {
		if changed, err = st.CasesSince(ctx, seq); err != nil {
			return nil, err
		}
	}
	// The newest event that was known is read again each time. When it is not there, this is not the log
	// that it was: the database has fallen back to an older state, and nothing that is known counts.
	again := len(changed) == 0
	if again {
		if changed, err = st.Cases(ctx, true); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if again {
		m.seq, m.open, m.newest = 0, nil, time.Time{}
		m.ended, m.alarms, m.agreed = map[string]Past{}, map[string]time.Time{}, map[string]agreement{}
		m.taken++
	}
	m.learn(changed)
	return m.open, nil
}

// correct takes a case as the store has it now, after it was found to have moved on.
func (m *memory) correct(ctx context.Context, st Store, id string) error {
	m.reading.Lock()
	defer m.reading.Unlock()
	c, err := st.Case(ctx, id)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replace([]*Case{&c})
	return nil
}

// learn takes what is new in cases that were read. The caller holds the mutex.
func (m *memory) learn(read []Case) {
	var changed []*Case
	known := m.seq
	for _, c := range read {
		if c.Seq <= known {
			continue
		}
		m.seq = max(m.seq, c.Seq)
		for _, t := range []time.Time{c.At, c.OpenedAt, c.ClosedAt} {
			if t.After(m.newest) {
				m.newest = t
			}
		}
		if c.Removed || c.Phase == PhaseClosed {
			m.taken++
		}
		if c.Outcome != OutcomeFalseAlarm {
			delete(m.alarms, c.ID)
		} else if _, known := m.alarms[c.ID]; !known {
			m.alarms[c.ID] = c.At
		}
		if c.Phase.Ended() {
			m.ended[c.ID] = pastOf(c)
		}
		changed = append(changed, &c)
	}
	m.replace(changed)
}

// replace puts cases into the place of what was known of them. The caller holds the mutex.
func (m *memory) replace(changed []*Case) {
	if len(changed) == 0 {
		return
	}
	now := make(map[string]*Case, len(changed))
	for _, c := range changed {
		now[c.ID] = c
		if c.Phase.Ended() {
			now[c.ID] = nil
			delete(m.agreed, c.ID)
		}
	}
	open := make([]*Case, 0, len(m.open)+len(changed))
	for _, c := range m.open {
		newer, has := now[c.ID]
		delete(now, c.ID)
		if !has {
			newer = c
		}
		if newer != nil {
			open = append(open, newer)
		}
	}
	for _, c := range changed {
		if now[c.ID] != nil {
			open = append(open, c)
		}
	}
	m.open = open
}

// retirements grows whenever the store may have more retired serials than before.
func (m *memory) retirements() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taken
}

// past are the cases that have ended lately, and the newest time of all events.
func (m *memory) past() ([]Past, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.ended, func(_ string, p Past) bool { return m.newest.Sub(p.EndedAt) >= flapMonth })
	return slices.SortedFunc(maps.Values(m.ended), func(a, b Past) int { return strings.Compare(a.Case, b.Case) }), m.newest
}

// times are when ended cases were opened and started, and when false alarms became known.
func (m *memory) times() (openings, starts, alarms []time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.ended {
		openings = append(openings, p.OpenedAt)
		if !p.StartedAt.IsZero() {
			starts = append(starts, p.StartedAt)
		}
	}
	for _, t := range m.alarms {
		alarms = append(alarms, t)
	}
	return openings, starts, alarms
}
