package check

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MySQL passes when a server, MariaDB or MySQL, takes the login and answers a query. With Replica also its replication must run, from
// every source, and not be later than MaxLag; the login needs REPLICATION CLIENT for it, with MariaDB from 10.5 on SLAVE MONITOR. It may
// well listen at another port than the one that is announced.
//
// The lag is what the server says: that of what it has received. A source that hangs is noticed once the receiving thread says so,
// after the server's slave_net_timeout.
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
	db.SetMaxOpenConns(1)
	var version string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil || !c.Replica {
		return plain(ctx, err)
	}
	sources, err := replicaStatus(ctx, db, version)
	if err != nil {
		return plain(ctx, fmt.Errorf("ask for the state of its replication: %w", err))
	}
	return JudgeReplica(sources, c.MaxLag)
}

// syntaxError is ER_PARSE_ERROR: the server does not know the statement.
const syntaxError = 1064

// replicaStatus reads a row for each source by the names of its columns, which differ between servers. MySQL has dropped the old words
// with 8.4 and knows the new ones from 8.0.22 on; MariaDB keeps the old, and tells of the sources that have a name only if asked for all.
func replicaStatus(ctx context.Context, db *sql.DB, version string) ([]map[string]string, error) {
	if strings.Contains(version, "MariaDB") {
		return rowsOf(ctx, db, "SHOW ALL SLAVES STATUS")
	}
	out, err := rowsOf(ctx, db, "SHOW REPLICA STATUS")
	if refused := (*mysql.MySQLError)(nil); errors.As(err, &refused) && refused.Number == syntaxError {
		return rowsOf(ctx, db, "SHOW SLAVE STATUS")
	}
	return out, err
}

// rowsOf is what a statement returns: the values that are not null, by the names of the columns.
func rowsOf(ctx context.Context, db *sql.DB, statement string) ([]map[string]string, error) {
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	var out []map[string]string
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := map[string]string{}
		for i, name := range names {
			if values[i].Valid {
				row[name] = values[i].String
			}
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// JudgeReplica says why a replica with that status, one for each of its sources, should not be used, or nil. Both threads must run, and
// the lag be known and not above most; with 0 any lag will do. The names of the columns are those of MySQL before or after 8.0.22, or of
// MariaDB. The channels that group replication keeps for itself do not count: one of them runs only while a member joins.
func JudgeReplica(sources []map[string]string, most time.Duration) error {
	judged := 0
	for _, status := range sources {
		name := status["Channel_Name"] + status["Connection_name"] // a server has one of them
		if strings.HasPrefix(name, "group_replication_") {
			continue
		}
		judged++
		if err := judgeSource(status, most); err != nil && name != "" {
			return fmt.Errorf("source %s: %w", name, err)
		} else if err != nil {
			return err
		}
	}
	if judged == 0 {
		return errors.New("it replicates nothing")
	}
	return nil
}

func judgeSource(status map[string]string, most time.Duration) error {
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
		if strings.EqualFold(state, "Yes") {
			continue
		}
		err := fmt.Errorf("its %s thread does not run (%s)", thread, state)
		if why := get("Last_" + thread + "_Error"); why != "" {
			err = fmt.Errorf("%w: %s", err, why)
		}
		return err
	}
	lag, err := strconv.ParseUint(get("Seconds_Behind_Source", "Seconds_Behind_Master"), 10, 32)
	switch {
	case err != nil:
		return errors.New("its lag is not known")
	case most > 0 && time.Duration(lag)*time.Second > most:
		return fmt.Errorf("it is %d s behind, more than %s", lag, most)
	}
	return nil
}
