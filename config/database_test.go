package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/config"
)

func TestRepairer_Database(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ database, want string }{
		{"/var/lib/glia.db", ""},
		{"glia.db", "is not an absolute path"},
		{"mysql://h/glia", `"mysql://…" is no database`},
		{"postgres:///glia", ""},
		{"postgres:///glia?host=/run/postgresql", ""},
		{"postgresql://glia@127.0.0.1:5432/glia", ""},
		{"postgres://glia@[::1]:5432/glia", ""},
		{"postgres://glia@[::1]/glia", ""},
		{"postgres://localhost:5432/glia", ""},
		{"postgres://db-1/glia?sslmode=verify-full", ""},
		{"postgres://db-1,db-2:5432/glia?sslmode=verify-ca", ""},
		{"postgres://db-1/glia", "db-1 is another host, and anybody in between could make up approvals: add sslmode=verify-full"},
		{"postgres://db-1:5432/glia?sslmode=require", "db-1:5432 is another host"},
		{"postgres://127.0.0.1,db-2/glia", "db-2 is another host"},
		{"postgres:///glia?host=db-1", "db-1 is another host"},
		{"postgres://u:geheim@127.0.0.1/glia", "database: has a password in it"},
		{"postgres:///glia?password=geheim", "database: has a password in it"},
		{"postgres://u:geheim@127.0.0.1:x/glia", "is no URL such as"},
	} {
		got := lines("repairer", `database = "`+tt.database+`"`)
		if tt.want == "" && got != nil || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want) || strings.Contains(got[0], "geheim")) {
			t.Errorf("%s:\n got %q\nwant %q", tt.database, got, tt.want)
		}
	}
}

func TestRepairer_DatabasePasswordFile(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		database, content string
		mode              os.FileMode
		want              string
	}{
		"fits":     {"postgres:///glia", "geheim\n", 0o600, ""},
		"for all":  {"postgres:///glia", "geheim\n", 0o604, "everybody on this host may access"},
		"empty":    {"postgres:///glia", "\n", 0o600, "is empty"},
		"needless": {"/var/lib/glia.db", "geheim\n", 0o600, "a SQLite file has no password"},
	} {
		dir := t.TempDir()
		secret, path := filepath.Join(dir, "secret"), filepath.Join(dir, "repairer.toml")
		if err := os.WriteFile(secret, []byte(tt.content), tt.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("database = \""+tt.database+"\"\ndatabase_password_file = \""+secret+"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		switch _, err := config.LoadRepairer(path, config.Known{}); {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "geheim")):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestRepairer_Lease(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`ttl = "10s"`:                      "",
		"ttl = \"2s\"\nrenew = \"660ms\"":  "",
		`ttl = "1s"`:                       "lease.ttl: 1s is not possible: want 2s to 10m",
		`ttl = "11m"`:                      "lease.ttl: 11m is not possible: want 2s to 10m",
		`ttl = "-10s"`:                     "lease.ttl: -10s is not possible",
		`renew = "0s"`:                     "lease.renew: 0s is not possible: want at least 100ms",
		"ttl = \"6s\"\nrenew = \"2s\"":     "lease.renew: a lease of 6s that is renewed every 2s is lost by one answer that does not come: want less than a third of lease.ttl",
		"ttl = \"6s\"\nrenew = \"1.999s\"": "",
		"ttl = \"30s\"\nrenew = \"40s\"":   "is lost by one answer that does not come",
		`ttl = 10`:                         "lease.ttl",
		`time = "10s"`:                     "lease.time",
	} {
		got := lines("repairer", "[lease]\n"+text)
		if want == "" && got != nil || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%s:\n got %q\nwant %q", text, got, want)
		}
	}
}
