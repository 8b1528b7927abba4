package check_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"glia/internal/testbed"
	"glia/nerve/check"
)

func TestMySQL_AsksRealServers(t *testing.T) {
	t.Parallel()
	servers := testbed.MariaDBs(t, 2)
	source, replica := servers[0], servers[1]
	const login = `CREATE USER nerve@'127.0.0.1' IDENTIFIED BY 'secret'; CREATE DATABASE shop; CREATE TABLE shop.t (i INT);`
	source.Exec(t, login+`CREATE USER repl@'127.0.0.1' IDENTIFIED BY 'repl'; GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1'`)
	replica.Exec(t, login)
	nerve := check.Login{User: "nerve", Password: "secret"}
	of := func(s *testbed.SQLServer, l check.Login) check.MySQL {
		return check.MySQL{Address: at(t, s.Addr), Login: l}
	}
	plain, checked := of(replica, nerve), of(replica, nerve)
	checked.Replica, checked.MaxLag = true, time.Second
	patient := checked
	patient.MaxLag = time.Hour

	probe(t, "a server that works", plain, "")
	probe(t, "a password that is wrong", of(replica, check.Login{User: "nerve", Password: "other"}), "Access denied for user 'nerve'")
	probe(t, "a database that the user may not have", of(replica, check.Login{User: "nerve", Password: "secret", Database: "shop"}), "Access denied")
	probe(t, "a user without the right to see the replication", checked, "SLAVE MONITOR")
	replica.Exec(t, `GRANT SLAVE MONITOR ON *.* TO nerve@'127.0.0.1'`)
	probe(t, "a server that replicates nothing", checked, "it replicates nothing")

	host, port, _ := net.SplitHostPort(source.Addr)
	from := `MASTER_HOST='` + host + `', MASTER_PORT=` + port + `, MASTER_USER='repl', MASTER_USE_GTID=slave_pos`
	replica.Exec(t, `SET GLOBAL gtid_slave_pos='`+source.Ask(t, `SELECT @@gtid_binlog_pos`)+`'`) // as a copy of its data has it
	replica.Exec(t, `CHANGE MASTER TO `+from+`, MASTER_PASSWORD='repl'; START SLAVE`)
	become(t, "a replica that runs", checked, "")

	end := replica.Session(t, `LOCK TABLES shop.t WRITE`)
	source.Exec(t, `INSERT INTO shop.t VALUES (1)`)
	become(t, "a replica that is late", checked, "s behind, more than 1s")
	probe(t, "the same, where any lag below an hour will do", patient, "")
	probe(t, "the same, where only the server matters", plain, "")
	end()
	become(t, "a replica that has caught up", checked, "")

	replica.Exec(t, `STOP SLAVE SQL_THREAD`)
	probe(t, "a replica that applies nothing", checked, "its SQL thread does not run (No)")
	replica.Exec(t, `DROP TABLE shop.t; START SLAVE SQL_THREAD`)
	source.Exec(t, `INSERT INTO shop.t VALUES (2)`)
	become(t, "a replica that can not apply", checked, "its SQL thread does not run (No): Error 'Table 'shop.t' doesn't exist'")
	replica.Exec(t, `STOP SLAVE; CREATE TABLE shop.t (i INT); START SLAVE`)
	become(t, "a replica that is mended", checked, "")

	replica.Exec(t, `STOP SLAVE; CHANGE MASTER TO MASTER_PASSWORD='old', MASTER_CONNECT_RETRY=1; START SLAVE`)
	become(t, "a replica that its source does not let in", checked, "its IO thread does not run (Connecting): error connecting to master 'repl@")
	replica.Exec(t, `STOP SLAVE; CHANGE MASTER TO MASTER_PASSWORD='repl'; START SLAVE`)
	become(t, "a replica that is let in again", checked, "")
	replica.Exec(t, `CHANGE MASTER 'second' TO MASTER_HOST='127.0.0.1', MASTER_PORT=1`)
	probe(t, "a replica of two sources, one of which is not read", checked, "source second: its IO thread does not run (No)")
	replica.Exec(t, `STOP SLAVE; RESET SLAVE ALL`)
	probe(t, "a replica of one source, which has a name", checked, "source second: its IO thread does not run (No)")

	replica.Pause(t)
	frozen(t, plain)
	frozen(t, checked)
	replica.Resume(t)
	probe(t, "a server that goes on", plain, "")
	replica.Kill(t)
	probe(t, "a server that is gone", plain, "refused")
}

// become probes until the answer is the one that is wanted.
func become(t *testing.T, what string, c check.Check, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		once, end := context.WithTimeout(ctx, 10*time.Second) // a server that is only starting may take a connection and forget it
		err := c.Probe(once)
		end()
		if (err == nil) == (want == "") && (err == nil || strings.Contains(err.Error(), want)) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: error %v, want %q", what, err, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// frozen probes a server that does not answer: the probe ends with the time it has.
func frozen(t *testing.T, c check.Check) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Probe(ctx) }()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("%T of a server that is frozen: %v", c, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%T of a server that is frozen does not end", c)
	}
}

func at(t *testing.T, addr string) check.Address {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return address(a)
}

func TestJudgeReplica(t *testing.T) {
	t.Parallel()
	of := func(words, io, sql, lag string, more ...string) map[string]string {
		s := map[string]string{"Slave_IO_Running": io, "Slave_SQL_Running": sql, "Seconds_Behind_Master": lag, "Last_SQL_Error": "duplicate key"}
		if words == "new" {
			s = map[string]string{"Replica_IO_Running": io, "Replica_SQL_Running": sql, "Seconds_Behind_Source": lag}
		}
		for i := 0; i < len(more); i += 2 {
			s[more[i]] = more[i+1]
		}
		return s
	}
	type rows = []map[string]string
	for _, c := range []struct {
		sources rows
		most    time.Duration
		want    string
	}{
		{rows{of("old", "Yes", "Yes", "0")}, time.Minute, ""},
		{rows{of("old", "Yes", "Yes", "60")}, time.Minute, ""},
		{rows{of("old", "Yes", "Yes", "61")}, time.Minute, "61 s behind, more than 1m0s"},
		{rows{of("old", "Yes", "Yes", "99999")}, 0, ""},
		{rows{of("old", "Connecting", "Yes", "0")}, 0, "IO thread does not run (Connecting)"},
		{rows{of("old", "Yes", "No", "0")}, 0, "SQL thread does not run (No): duplicate key"},
		{rows{of("old", "Yes", "Yes", "")}, 0, "lag is not known"},
		{rows{of("new", "Yes", "Yes", "1", "Channel_Name", "")}, time.Second, ""},
		{rows{of("new", "Yes", "Yes", "1"), of("new", "Yes", "Yes", "9", "Channel_Name", "eu")}, time.Second, "source eu: it is 9 s behind"},
		{rows{of("new", "Yes", "Yes", "0"), of("new", "No", "No", "", "Channel_Name", "group_replication_recovery")}, 0, ""},
		{rows{of("new", "No", "No", "", "Channel_Name", "group_replication_recovery")}, 0, "replicates nothing"},
		{rows{of("old", "Yes", "Yes", "0"), of("old", "No", "Yes", "0", "Connection_name", "eu")}, 0, "source eu: its IO thread"},
		{nil, 0, "replicates nothing"},
	} {
		if err := check.JudgeReplica(c.sources, c.most); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.sources, err, c.want)
		}
	}
}
