package check

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
)

// Login is with whom a check speaks.
type Login struct {
	User, Password string
	Database       string // may be empty
}

// Postgres passes when a server takes the login and answers a query.
type Postgres struct {
	Address
	Login
}

// Probe is part of Check.
func (c Postgres) Probe(ctx context.Context) error {
	u := url.URL{Scheme: "postgres", Host: c.Address.String(), User: url.UserPassword(c.User, c.Password), Path: "/" + c.Database}
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return plain(ctx, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	var one int
	return plain(ctx, conn.QueryRow(ctx, "SELECT 1").Scan(&one))
}

// MySQL passes when a server takes the login and answers a query. With Replica also its replication must run, and not be later than
// MaxLag. It may well listen at another port than the one that is announced.
type MySQL struct {
	Address
	Login
	Replica bool
	MaxLag  time.Duration // 0: however late
}

// Probe is part of Check.
func (c MySQL) Probe(ctx context.Context) error {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.Passwd, config.DBName = "tcp", c.Address.String(), c.User, c.Password, c.Database
	config.AllowNativePasswords = true
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	if !c.Replica {
		var one int
		return plain(ctx, db.QueryRowContext(ctx, "SELECT 1").Scan(&one))
	}
	status, err := replicaStatus(ctx, db)
	if err != nil {
		return plain(ctx, err)
	}
	return JudgeReplica(status, c.MaxLag)
}

// replicaStatus reads the one row by the names of its columns, which differ between servers.
func replicaStatus(ctx context.Context, db *sql.DB) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SHOW REPLICA STATUS")
	if err != nil { // MySQL before 8.0.22 and MariaDB before 10.5
		rows, err = db.QueryContext(ctx, "SHOW SLAVE STATUS")
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		return nil, rows.Err()
	}
	values := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i, name := range names {
		if values[i].Valid {
			out[name] = values[i].String
		}
	}
	return out, rows.Err()
}

// JudgeReplica says why a replica with that status should not be used, or nil. Both threads must run, and the lag be known and not above
// most; with 0 any lag will do. The names of the columns are those of MySQL before or after 8.0.22, or of MariaDB.
func JudgeReplica(status map[string]string, most time.Duration) error {
	if len(status) == 0 {
		return fmt.Errorf("it replicates nothing")
	}
	get := func(names ...string) string {
		for _, n := range names {
			if v, ok := status[n]; ok {
				return v
			}
		}
		return ""
	}
	for _, thread := range []string{"IO", "SQL"} {
		state := get("Replica_"+thread+"_Running", "Slave_"+thread+"_Running")
		if !strings.EqualFold(state, "Yes") {
			why := get("Last_" + thread + "_Error")
			return fmt.Errorf("its %s thread does not run (%s) %s", thread, state, why)
		}
	}
	text := get("Seconds_Behind_Source", "Seconds_Behind_Master")
	lag, err := strconv.ParseUint(text, 10, 32)
	switch {
	case err != nil:
		return fmt.Errorf("its lag is not known")
	case most > 0 && time.Duration(lag)*time.Second > most:
		return fmt.Errorf("it is %d s behind, more than %s", lag, most)
	}
	return nil
}
