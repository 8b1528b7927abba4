package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"glia/repairer"
)

// acts is what the events of no case say about the fleet. What was changed before such events were kept
// is not in them, and is not compared.
type acts struct {
	values map[string]string // newest of each key
	pauses map[string]repairer.Pause
	ended  map[string]bool   // pauses that were ended
	last   map[string]uint64 // event that speaks last of a key or pause
}

func newActs() acts {
	return acts{values: map[string]string{}, pauses: map[string]repairer.Pause{}, ended: map[string]bool{}, last: map[string]uint64{}}
}

// next takes one event of no case.
func (a *acts) next(e repairer.Event) {
	d := e.Data
	if d.Key != "" {
		a.values[d.Key], a.last[d.Key] = d.Value, e.Seq
	}
	if d.Pause != nil {
		id := d.Pause.ID
		a.pauses[id], a.ended[id], a.last[id] = *d.Pause, e.Kind == repairer.KindResumed, e.Seq
	}
}

// compare says how the tables differ from what the events say; the problem is empty when they do not.
func (a *acts) compare(ctx context.Context, q querier) (at uint64, problem string, err error) {
	for _, key := range slices.Sorted(maps.Keys(a.values)) {
		var have string
		err := q.QueryRowContext(ctx, `SELECT value FROM values_ WHERE key = $1`, key).Scan(&have)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return a.last[key], fmt.Sprintf("the %s is in the log up to event %d, and has no row", key, a.last[key]), nil
		case err != nil:
			return 0, "", err
		case have != a.values[key]:
			return a.last[key], fmt.Sprintf("the row of the %s is not what event %d says", key, a.last[key]), nil
		}
	}
	rows, err := scanPauses(q.QueryContext(ctx, `SELECT `+pauseColumns+` FROM pauses ORDER BY id`))
	if err != nil {
		return 0, "", err
	}
	over, err := scanPauses(q.QueryContext(ctx, `SELECT `+pauseColumns+` FROM pauses WHERE ended_at <> 0 ORDER BY id`))
	if err != nil {
		return 0, "", err
	}
	have, ended := map[string]repairer.Pause{}, map[string]bool{}
	for _, p := range rows {
		have[p.ID] = p
	}
	for _, p := range over {
		ended[p.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(a.pauses)) {
		want, is := a.pauses[id], have[id]
		same := is.ID == id && is.Scope == want.Scope && is.Owner == want.Owner && is.Reason == want.Reason && is.Since.Equal(want.Since) && is.Until.Equal(want.Until)
		if !same || ended[id] != a.ended[id] {
			return a.last[id], fmt.Sprintf("the row of pause %s is not what event %d says", id, a.last[id]), nil
		}
	}
	return 0, "", nil
}
