package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// Table keeps positions in the table of that name of the repairer's database.
type Table struct{ DB *sql.DB }

var _ Positions = Table{}

// Position is part of Positions.
func (t Table) Position(ctx context.Context, sink string) (p Position, known bool, err error) {
	var doc string
	err = t.DB.QueryRowContext(ctx, `SELECT position FROM notices WHERE sink = $1`, sink).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(doc), &p)
	}
	if err != nil {
		return Position{}, false, fmt.Errorf("read what sink %s knows: %w", sink, err)
	}
	return p, true, nil
}

// Keep is part of Positions.
func (t Table) Keep(ctx context.Context, sink string, p Position) error {
	doc, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = t.DB.ExecContext(ctx, `INSERT INTO notices (sink, position) VALUES ($1, $2) ON CONFLICT (sink) DO UPDATE SET position = excluded.position`, sink, string(doc))
	if err != nil {
		return fmt.Errorf("keep what sink %s knows: %w", sink, err)
	}
	return nil
}
