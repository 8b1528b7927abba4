package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"glia/config/secret"
)

// Leader is what a database tells of those who lead on it.
type Leader struct {
	Holder string    // who leads, or led last; empty: nobody ever did
	Epoch  uint64    // of Holder; 0: there was none yet
	Since  time.Time // when its term began; zero: not known
	Leads  bool      // it holds the lease, or the lock of the file, now; not told where something else elects
}

// PostgresLeader asks the database of the URL who leads; password is that of Options. It takes no part in the
// election, and changes nothing. A server that takes no writes is an error, because repairers can not work with it.
func PostgresLeader(ctx context.Context, url string, password secret.Value) (l Leader, err error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return l, fmt.Errorf("database: %w", err)
	}
	c.Password = cmp.Or(password.Reveal(), c.Password)
	c.RuntimeParams["application_name"] = "glia entrypoint"
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask database %s on %s who leads: %w", c.Database, c.Host, err)
		}
	}()
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return l, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var standby, fresh bool
	if err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), to_regclass('lease') IS NULL`).Scan(&standby, &fresh); err != nil {
		return l, err
	}
	if standby {
		return l, errors.New("this server is a standby, which takes no writes: is there a primary?")
	}
	if fresh {
		return l, nil
	}
	var since *time.Time
	row := conn.QueryRow(ctx, `SELECT holder, epoch, since, expires > clock_timestamp() FROM lease LEFT JOIN (SELECT epoch, since FROM leaders) AS terms USING (epoch)`)
	if err := row.Scan(&l.Holder, &l.Epoch, &since, &l.Leads); err != nil {
		return l, err
	}
	if since != nil {
		l.Since = since.UTC()
	}
	return l, nil
}

// SQLiteLeader looks at the file and its lock, and changes neither.
func SQLiteLeader(ctx context.Context, path string) (l Leader, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("see who has database %s open: %w", path, err)
		}
	}()
	f, err := os.Open(path + ".lock")
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	defer f.Close()
	who, err := io.ReadAll(io.LimitReader(f, 200))
	if err != nil {
		return l, err
	}
	info, err := f.Stat()
	if err != nil {
		return l, err
	}
	// A repairer that starts at this very moment tries the lock for longer than we hold it.
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if l.Leads = errors.Is(err, unix.EWOULDBLOCK); err != nil && !l.Leads {
		return l, err
	}
	l.Holder, l.Since = strings.TrimSpace(string(who)), info.ModTime().UTC()
	if err := f.Close(); err != nil { // also lets go of the lock
		return l, err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro")
	if err != nil {
		return l, err
	}
	defer db.Close()
	return l, db.QueryRowContext(ctx, sqliteDialect.newest).Scan(&l.Epoch)
}
