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

// memory keeps in memory what every look needs of the store. Each look reads the cases that have newer
// events than the newest one known, whoever wrote them. Between two looks it may be behind; the store refuses
// decisions that rest on that, see ErrMoved. It is safe for concurrent use.
type memory struct {
	moving  sync.Mutex // held while storm and breaker are read, moved and kept
	reading sync.Mutex // held while the store is read

	mu      sync.Mutex
	known   known
	taken   uint64               // grows whenever more serials may have been retired
	domains map[string][]string  // of hosts
	agreed  map[string]agreement // of open cases
}

// known are the open cases, and what the gates ask of those that have ended.
type known struct {
	seq    uint64               // of the newest event; 0: nothing was read yet
	open   []*Case              // brief, in the order of their opening; neither the slice nor a case is ever changed
	ended  map[string]Past      // by case
	newest time.Time            // of all that stands in the log
	alarms map[string]time.Time // false alarms, by case
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
	seq := m.known.seq
	m.mu.Unlock()
	if seq == 0 {
		return m.lookAnew(ctx, st)
	}
	changed, err := st.CasesSince(ctx, seq)
	switch {
	case err != nil:
		return nil, err
	case len(changed) == 0:
		// The newest event that was known is not there, so this is not the log that it was: the database has
		// fallen back to an older state, and nothing that is known counts.
		return m.lookAnew(ctx, st)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	newer := make([]*Case, 0, len(changed))
	for _, c := range changed {
		if c.Seq > seq {
			m.known.learn(c)
			b := c.brief()
			newer = append(newer, &b)
			if c.Removed || c.Phase == PhaseClosed {
				m.taken++
			}
		}
	}
	m.replace(newer)
	return m.known.open, nil
}

// lookAnew reads all cases.
func (m *memory) lookAnew(ctx context.Context, st Store) ([]*Case, error) {
	now := known{ended: map[string]Past{}, alarms: map[string]time.Time{}}
	if err := st.EachCase(ctx, func(c Case) {
		now.learn(c)
		if !c.Phase.Ended() {
			b := c.brief()
			now.open = append(now.open, &b)
		}
	}); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known, m.agreed = now, map[string]agreement{}
	m.taken++
	return m.known.open, nil
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
	b := c.brief()
	m.replace([]*Case{&b})
	return nil
}

// learn takes what a case tells beside itself.
func (k *known) learn(c Case) {
	k.seq = max(k.seq, c.Seq)
	for _, t := range []time.Time{c.At, c.OpenedAt, c.ClosedAt} {
		if t.After(k.newest) {
			k.newest = t
		}
	}
	if c.Outcome != OutcomeFalseAlarm {
		delete(k.alarms, c.ID)
	} else {
		k.alarms[c.ID] = c.OutcomeAt
	}
	if c.Phase.Ended() {
		k.ended[c.ID] = pastOf(c)
	}
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
	open := make([]*Case, 0, len(m.known.open)+len(changed))
	for _, c := range m.known.open {
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
	m.known.open = open
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
	maps.DeleteFunc(m.known.ended, func(_ string, p Past) bool { return m.known.newest.Sub(p.EndedAt) >= flapMonth })
	return slices.SortedFunc(maps.Values(m.known.ended), func(a, b Past) int { return strings.Compare(a.Case, b.Case) }), m.known.newest
}

// times are when ended cases were opened and started, and when false alarms became known.
func (m *memory) times() (openings, starts, alarms []time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.known.ended {
		openings = append(openings, p.OpenedAt)
		if !p.StartedAt.IsZero() {
			starts = append(starts, p.StartedAt)
		}
	}
	for _, t := range m.known.alarms {
		alarms = append(alarms, t)
	}
	return openings, starts, alarms
}
