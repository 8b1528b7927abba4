package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"glia"
	"glia/repairer"
)

// Export gives the log to line, oldest event first. Each line ends with prev and hash; the hash is the
// SHA-256 of prev and of the line without these two.
func (s *core) Export(ctx context.Context, line func([]byte) error) error {
	for after := uint64(0); ; {
		list, err := entries(ctx, s.db, after)
		if err != nil {
			return err
		}
		for _, e := range list {
			b, err := e.line()
			if err != nil {
				return err
			}
			if err := line(b); err != nil {
				return err
			}
			after = e.Seq
		}
		if len(list) < page {
			return nil
		}
	}
}

// Verify checks the whole log in one snapshot. It keeps in memory only the cases that are open at the
// point that it has reached.
func (s *core) Verify(ctx context.Context) (r repairer.AuditReport, err error) {
	tx, err := s.db.BeginTx(ctx, &s.dialect.snapshot)
	if err != nil {
		return r, err
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	v := verification{q: tx, prev: genesis, folds: map[string]repairer.Case{}, acts: newActs()}
	for {
		list, err := entries(ctx, tx, v.seq)
		if err != nil {
			return r, err
		}
		for _, e := range list {
			if problem, err := v.next(ctx, e); problem != "" || err != nil {
				return repairer.AuditReport{Events: v.good, Problem: problem, BrokenAt: e.Seq}, err
			}
		}
		if len(list) < page {
			break
		}
	}
	at, problem, err := v.end(ctx)
	return repairer.AuditReport{Events: v.good, Problem: problem, BrokenAt: at}, err
}

// verification is how far a check of the log has come.
type verification struct {
	q     querier
	seq   uint64 // of the last event
	good  uint64
	prev  string
	folds map[string]repairer.Case // what the events say about the cases that have not ended
	rows  int64                    // cases that were opened
	acts  acts                     // what the events of no case say
}

// next checks one event; the problem is empty when it fits.
func (v *verification) next(ctx context.Context, e entry) (problem string, err error) {
	switch want, sumErr := e.sum(); {
	case e.Seq != v.seq+1:
		return fmt.Sprintf("event %d follows event %d: what was between them is missing", e.Seq, v.seq), nil
	case e.prev != v.prev:
		return fmt.Sprintf("event %d was not written after the event that is before it", e.Seq), nil
	case sumErr != nil:
		return sumErr.Error(), nil
	case e.hash != want:
		return fmt.Sprintf("event %d was changed: its hash is not that of its content", e.Seq), nil
	}
	v.seq, v.prev = e.Seq, e.hash
	event, err := e.event()
	if err != nil {
		return err.Error(), nil
	}
	if e.Case == "" {
		v.acts.next(event)
		v.good++
		return "", nil
	}
	before, known := v.folds[e.Case]
	c, err := apply(before, event)
	if err != nil {
		return err.Error(), nil
	}
	if !known {
		v.rows++
	}
	v.folds[e.Case] = c
	if c.Phase.Ended() {
		// Only an outcome may follow, and then the row knows of it.
		got, problem, err := v.row(ctx, c)
		if problem != "" || err != nil {
			return problem, err
		}
		if got.Seq <= c.Seq {
			delete(v.folds, e.Case)
			if problem, err := compare(got, c); problem != "" || err != nil {
				return problem, err
			}
		}
	}
	v.good++
	return "", nil
}

// apply is repairer.Apply for an event that somebody may have made up: it may lack what its kind has.
func apply(c repairer.Case, e repairer.Event) (_ repairer.Case, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("event %d (%s) lacks what such an event holds", e.Seq, e.Kind)
		}
	}()
	return repairer.Apply(c, e)
}

// end compares what is open with its rows, and looks for rows that no event speaks of.
func (v *verification) end(ctx context.Context) (at uint64, problem string, err error) {
	for _, c := range v.folds {
		got, p, err := v.row(ctx, c)
		if err == nil && p == "" {
			p, err = compare(got, c)
		}
		if err != nil {
			return c.Seq, "", err
		}
		if p != "" && (problem == "" || c.Seq < at) {
			at, problem = c.Seq, p
		}
	}
	if problem != "" {
		return at, problem, nil
	}
	var rows int64
	if err := v.q.QueryRowContext(ctx, `SELECT count(*) FROM cases`).Scan(&rows); err != nil {
		return 0, "", err
	}
	if rows != v.rows {
		return 0, fmt.Sprintf("there are %d cases, and the log opens %d", rows, v.rows), nil
	}
	return v.acts.compare(ctx, v.q)
}

// row reads the row of a case that the log knows, or says why that is not possible.
func (v *verification) row(ctx context.Context, want repairer.Case) (got repairer.Case, problem string, err error) {
	row, err := rowID(want.ID)
	if err != nil {
		return got, "", err
	}
	got, err = scanCase(v.q.QueryRowContext(ctx, caseDoc, row))
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, glia.ErrNotFound):
		return got, fmt.Sprintf("case %s is in the log up to event %d, and has no row", want.ID, want.Seq), nil
	case errors.As(err, &syntax):
		return got, fmt.Sprintf("the row of case %s can not be read: %v", want.ID, err), nil
	}
	return got, "", err
}

// compare says how the row of the case differs from what its events say.
func compare(got, want repairer.Case) (string, error) {
	if got.Seq != want.Seq {
		return fmt.Sprintf("the row of case %s rests on event %d, and its last event in the log is %d", want.ID, got.Seq, want.Seq), nil
	}
	a, err := json.Marshal(got)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(want)
	if err != nil {
		return "", err
	}
	if string(a) != string(b) {
		return fmt.Sprintf("the row of case %s is not what its events up to %d say", want.ID, want.Seq), nil
	}
	return "", nil
}
