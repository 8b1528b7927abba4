package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"glia/repairer"
	"glia/repairer/queue"
)

var _ queue.Acts = (*core)(nil)

// PauseOver is the type of the event that a pause's time is over; its payload is the id of the pause.
const PauseOver = "pause-over"

// timerOf is the timer of a pause, for its key alone when the pause lasts until it is resumed.
func timerOf(p repairer.Pause) queue.Timer {
	return queue.Timer{Key: "pause/" + p.ID, Due: p.Until, Type: PauseOver, Payload: p.ID}
}

// EndPause puts the end of a pause whose time is over into the log, once. A pause that somebody
// has ended stays as it is; one that is not over is an error.
func (s *core) EndPause(ctx context.Context, id string, now time.Time) error {
	return s.write(ctx, func(tx *sql.Tx, h head) error {
		ended, err := scanPauses(tx.QueryContext(ctx, `UPDATE pauses SET ended_at = $1 WHERE 'p' || id = $2 AND ended_at = 0 AND until <> 0 AND until <= $1
			RETURNING `+pauseColumns, nanos(now), id))
		for _, p := range ended {
			if err != nil {
				break
			}
			h, err = s.note(ctx, tx, h, repairer.Lapsed(p, now))
		}
		if err != nil || len(ended) > 0 {
			return err
		}
		var early int
		err = tx.QueryRowContext(ctx, `SELECT count(*) FROM pauses WHERE 'p' || id = $1 AND ended_at = 0 AND until > $2`, id, nanos(now)).Scan(&early)
		if err == nil && early > 0 {
			err = fmt.Errorf("end pause %s: its time is not over: was the clock set back?", id)
		}
		return err
	})
}

// ReplayEvent gives a dead event of the queue its attempts again.
func (s *core) ReplayEvent(ctx context.Context, id uint64, person, reason string) error {
	return s.write(ctx, func(tx *sql.Tx, h head) error {
		if err := queue.Replay(ctx, tx, id); err != nil {
			return err
		}
		_, err := s.note(ctx, tx, h, repairer.Event{At: time.Now(), Kind: repairer.KindReplayed, Text: fmt.Sprintf("event %d of the queue is replayed by %s: %s", id, person, reason), Data: repairer.Data{Person: person, Reason: reason}})
		return err
	})
}

// DropEvent takes a dead event of the queue for done.
func (s *core) DropEvent(ctx context.Context, id uint64, person, reason string) error {
	return s.write(ctx, func(tx *sql.Tx, h head) error {
		if err := queue.Drop(ctx, tx, id); err != nil {
			return err
		}
		_, err := s.note(ctx, tx, h, repairer.Event{At: time.Now(), Kind: repairer.KindDropped, Text: fmt.Sprintf("event %d of the queue is dropped by %s: %s", id, person, reason), Data: repairer.Data{Person: person, Reason: reason}})
		return err
	})
}
