package testbed

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
)

const mariadbd = "/usr/sbin/mariadbd"

// SQLServer is a MariaDB server, the one kind of MySQL that Debian has. Its Addr takes TCP.
type SQLServer struct {
	*Server

	db *sql.DB // as root, over its unix socket
}

// MariaDBs starts n servers with data of their own, numbered from 1, that keep what replicas read. The test is skipped when MariaDB is
// not installed.
func MariaDBs(t testing.TB, n int) []*SQLServer {
	t.Helper()
	const install = "/usr/bin/mariadb-install-db"
	if err := need(mariadbd, install); err != nil {
		t.Skip("MariaDB: ", err)
	}
	dir, err := os.MkdirTemp("", "glia-sql-") // short, because the name of a socket may have 107 bytes only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	fresh := filepath.Join(dir, "fresh")
	cmd := exec.CommandContext(t.Context(), install, "--no-defaults", "--datadir="+fresh, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=4M", "--innodb-flush-method=nosync")
	if os.Getuid() == 0 {
		cmd.Args = append(cmd.Args, "--user=root")
	}
	cmd.Env = temporary(dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", install, err, out)
	}
	all := make([]*SQLServer, 0, n)
	for id := 1; id <= n; id++ {
		s := newMariaDB(t, filepath.Join(dir, fmt.Sprint(id)), fresh, id)
		s.launch(t)
		all = append(all, s)
	}
	for _, s := range all {
		s.await(t)
	}
	return all
}

// temporary is the environment of a server that has temporary tables in a folder of its own: at its start it removes those of others, too.
func temporary(dir string) []string { return append(os.Environ(), "TMPDIR="+dir) }

func newMariaDB(t testing.TB, home, fresh string, id int) *SQLServer {
	t.Helper()
	data, socket := filepath.Join(home, "data"), filepath.Join(home, "socket")
	if err := os.CopyFS(data, os.DirFS(fresh)); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	s := &SQLServer{Server: &Server{Addr: local(port), log: filepath.Join(home, "log"), env: temporary(home), argv: []string{
		mariadbd, "--no-defaults", "--datadir=" + data, "--socket=" + socket, "--pid-file=" + filepath.Join(home, "pid"),
		"--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", port), fmt.Sprintf("--server-id=%d", id), "--log-bin=log", "--log-warnings=1",
		"--skip-name-resolve", "--performance-schema=OFF", "--innodb-buffer-pool-size=8M", "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0",
	}}}
	if os.Getuid() == 0 {
		s.argv = append(s.argv, "--user=root")
	}
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.MultiStatements, config.Logger = "unix", socket, "root", true, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	s.db = sql.OpenDB(connector)
	t.Cleanup(func() { _ = s.db.Close() })
	s.ready = s.db.PingContext
	s.cleanup(t)
	return s
}

// Exec runs statements as root.
func (s *SQLServer) Exec(t testing.TB, statements string) {
	t.Helper()
	if _, err := s.db.ExecContext(t.Context(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// Session is a connection as root of its own, for what ends with it, such as a lock.
func (s *SQLServer) Session(t testing.TB, statements string) (end func()) {
	t.Helper()
	c, err := s.db.Conn(t.Context())
	if err == nil {
		_, err = c.ExecContext(t.Context(), statements)
	}
	if err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
	return func() {
		_ = c.Raw(func(any) error { return driver.ErrBadConn }) // so that it is closed, and not kept for the next one
		_ = c.Close()
	}
}

// Ask returns the one value of a query, as root.
func (s *SQLServer) Ask(t testing.TB, query string) (value string) {
	t.Helper()
	if err := s.db.QueryRowContext(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}
