package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"glia"
)

// Get reads what Set has kept under the key, or returns glia.ErrNotFound.
func (s *core) Get(ctx context.Context, key string) (value string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT value FROM values_ WHERE key = $1`, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("value %s: %w", key, glia.ErrNotFound)
	}
	return value, err
}

// Set keeps a value. The text is for people who read the database.
func (s *core) Set(ctx context.Context, key, value, text string) error {
	return s.write(ctx, func(tx *sql.Tx, _ head) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO values_ (key, value, at, text) VALUES ($1, $2, $3, $4)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, at = excluded.at, text = excluded.text`, key, value, nanos(time.Now()), text)
		return err
	})
}
