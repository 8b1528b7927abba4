package check_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/nerve/check"
	"glia/repairer/store/storetest"
)

func TestPostgres_AsksARealServer(t *testing.T) {
	t.Parallel()
	s, err := storetest.StartPostgres(t.Context())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	// It listens at a unix socket only, and checks speak TCP.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go forward(l, filepath.Join(s.Dir(), ".s.PGSQL.5432"))
	at := check.Address{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port} //nolint:forcetypeassert // it is TCP
	login := check.Login{User: "glia", Database: "postgres"}
	probe := func(l check.Login) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return check.Postgres{Address: at, Login: l}.Probe(ctx)
	}
	if err := probe(login); err != nil {
		t.Errorf("a server that works: %v", err)
	}
	for name, tc := range map[string]struct {
		login check.Login
		want  string
	}{
		"a database that is not there": {check.Login{User: login.User, Database: "nowhere"}, `"nowhere" does not exist`},
		"a user that is not there":     {check.Login{User: "nobody-there", Database: "postgres"}, `"nobody-there" does not exist`},
	} {
		if err := probe(tc.login); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := probe(login); err == nil {
		t.Error("a server that is stopped passes")
	}
}

// forward carries the connections of a listener to a unix socket until it is closed.
func forward(l net.Listener, socket string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = in.Close() }()
			out, err := net.Dial("unix", socket)
			if err != nil {
				return
			}
			defer func() { _ = out.Close() }()
			go func() { _, _ = io.Copy(out, in) }()
			_, _ = io.Copy(in, out)
		}()
	}
}
