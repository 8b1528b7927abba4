package store_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// three is a table with three rows, on one connection.
func three(t *testing.T) *sql.Tx {
	t.Helper()
	tx, err := open(t, filepath.Join(t.TempDir(), "db")).DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.ExecContext(t.Context(), `CREATE TABLE three (n INTEGER PRIMARY KEY); INSERT INTO three VALUES (1), (2), (3)`); err != nil {
		t.Fatal(err)
	}
	return tx
}

const allThree = `SELECT n FROM three WHERE n > $1 ORDER BY n`

func TestSQLite_ReadsOneStatementInsideOfItself(t *testing.T) {
	t.Parallel()
	tx := three(t)
	var got []string
	read := func(each func(n int)) {
		rows, err := tx.QueryContext(t.Context(), allThree, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var n int
			if err := rows.Scan(&n); err != nil {
				t.Fatal(err)
			}
			each(n)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	read(func(a int) { read(func(b int) { got = append(got, fmt.Sprint(a, b)) }) })
	if want := strings.Split("1 1,1 2,1 3,2 1,2 2,2 3,3 1,3 2,3 3", ","); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestSQLite_StatementBeginsAnew(t *testing.T) {
	t.Parallel()
	tx := three(t)
	first := func(after, want int) {
		t.Helper()
		var n int
		if err := tx.QueryRowContext(t.Context(), allThree, after).Scan(&n); err != nil || n != want {
			t.Errorf("the first after %d is %d, %v", after, n, err)
		}
	}
	add := func(n int) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO three VALUES ($1)`, n)
		return err
	}
	first(0, 1) // and the others are never read
	first(1, 2)
	first(0, 1)
	if err := add(3); err == nil {
		t.Error("one number twice")
	}
	if err := add(4); err != nil {
		t.Errorf("after an error: %v", err)
	}
	first(3, 4)
}

func TestSQLite_StatementFollowsItsTable(t *testing.T) {
	t.Parallel()
	tx := three(t)
	columns := func() int {
		rows, err := tx.QueryContext(t.Context(), `SELECT * FROM three WHERE n > $1`, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		names, err := rows.Columns()
		for rows.Next() {
			into := make([]any, len(names))
			for i := range into {
				into[i] = new(any)
			}
			if err := rows.Scan(into...); err != nil {
				t.Error(err)
			}
		}
		if err != nil || rows.Err() != nil {
			t.Error(err, rows.Err())
		}
		return len(names)
	}
	before := columns()
	if _, err := tx.ExecContext(t.Context(), `ALTER TABLE three ADD COLUMN name TEXT`); err != nil {
		t.Fatal(err)
	}
	if after := columns(); before != 1 || after != 2 {
		t.Errorf("%d columns, and %d with one more", before, after)
	}
}

func TestSQLite_TakesMoreStatementsThanItKeeps(t *testing.T) {
	t.Parallel()
	tx := three(t)
	for range 2 {
		for i := range 150 {
			var n int
			if err := tx.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT max(n) + %d FROM three WHERE n < $1`, i), 3).Scan(&n); err != nil || n != 2+i {
				t.Fatalf("statement %d gives %d, %v", i, n, err)
			}
		}
	}
}
