package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/pressly/goose/v3"

	"glia/repairer"
)

// derived is the migration of a version whose events are as before, and whose rows say more.
var derived = &goose.GoFunc{RunTx: rederive}

// rederive makes the rows of all cases anew from the log, after a version that reads more from it.
func rederive(ctx context.Context, tx *sql.Tx) error {
	folds := map[string]repairer.Case{}
	keep := func(c repairer.Case) error {
		row, err := rowID(c.ID)
		if err != nil {
			return err
		}
		doc, err := json.Marshal(c)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE cases SET doc = $1 WHERE id = $2`, string(doc), row)
		return err
	}
	for after := uint64(0); ; {
		list, err := entries(ctx, tx, after)
		if err != nil {
			return err
		}
		for _, stored := range list {
			after = stored.Seq
			if stored.Case == "" {
				continue
			}
			e, err := stored.event()
			if err != nil {
				return err
			}
			c, known := folds[e.Case]
			if !known && e.Kind != repairer.KindOpened { // an outcome after the end
				row, err := rowID(e.Case)
				if err != nil {
					return err
				}
				if c, err = scanCase(tx.QueryRowContext(ctx, `SELECT doc FROM cases WHERE id = $1`, row)); err != nil {
					return fmt.Errorf("case %s: %w", e.Case, err)
				}
			}
			if c, err = apply(c, e); err != nil {
				return err
			}
			if folds[e.Case] = c; c.Phase.Ended() {
				delete(folds, e.Case)
				if err := keep(c); err != nil {
					return err
				}
			}
		}
		if len(list) < page {
			break
		}
	}
	for _, c := range folds {
		if err := keep(c); err != nil {
			return err
		}
	}
	return nil
}
