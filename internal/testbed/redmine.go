package testbed

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	_ "modernc.org/sqlite" // Redmine's database is edited with it
)

const redmineRoot = "/usr/share/redmine"

// RedmineServer is a Redmine of its own.
type RedmineServer struct {
	*Server
	Key      string // of the administrator
	projects atomic.Int64
}

// Statuses of issues, by their number. Those from 50 on are not Redmine's own: all workflows allow them, and none leads
// out of RedmineLocked.
const (
	RedmineResolved        = 3
	RedmineRejected        = 6
	RedmineDuplicate       = 50
	RedmineNotReproducible = 51
	RedmineLocked          = 52
)

// Redmine starts Debian's Redmine with a database of its own. The test is skipped when Redmine is not installed, or the
// test is not run by root.
func Redmine(t testing.TB) *RedmineServer {
	t.Helper()
	bases, err := filepath.Glob("/var/lib/dbconfig-common/sqlite3/redmine/instances/*/redmine_default")
	if err == nil && len(bases) == 0 {
		err = fmt.Errorf("%w: there is no SQLite database of Redmine", ErrNotInstalled)
	}
	if missing := need(redmineRoot+"/config.ru", "/usr/bin/puma"); missing != nil {
		err = missing
	}
	switch {
	case err != nil:
		t.Skipf("Redmine: %v", err)
	case os.Geteuid() != 0:
		t.Skip("Redmine: only root may add an instance to /var/lib/redmine")
	}
	dir, err := os.MkdirTemp("", "glia-redmine-") // not the test's own: www-data must reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	instance := filepath.Base(dir)
	port := freePort(t)
	k := make([]byte, 20)
	_, _ = rand.Read(k) // never fails
	key := hex.EncodeToString(k)
	for _, d := range []string{"config", "files", "log", "tmp/cache", "tmp/pids", "public"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	db := filepath.Join(dir, "redmine.db")
	config := fmt.Sprintf("production:\n  adapter: sqlite3\n  database: %s\n  encoding: utf8\n  timeout: 20000\n", db)
	for name, text := range map[string]string{"config/database.yml": config, "config/secret_key.txt": key + key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, bases[0], db)
	furnish(t, db, key)
	link := filepath.Join("/var/lib/redmine", instance)
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(link) })

	s := &RedmineServer{Key: key, Server: &Server{
		Addr: local(port), log: filepath.Join(t.TempDir(), "log"),
		argv: []string{"/usr/bin/env", "-i", "-C", redmineRoot, "PATH=/usr/bin:/bin", "HOME=" + dir, "LANG=C.UTF-8", "RAILS_ENV=production", "RAILS_LOG_TO_STDOUT=1",
			"REDMINE_INSTANCE=" + instance, "/usr/bin/puma", "-e", "production", "-b", "tcp://" + local(port), "-t", "1:1", "--no-config", "config.ru"},
	}}
	s.ready = func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr+"/users/current.json", nil)
		if err != nil {
			return err
		}
		r.Header.Set("X-Redmine-API-Key", key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("redmine answers %s: %w", answer.Status, err)
		}
		return nil
	}
	s.cleanup(t)
	s.Start(t)
	return s
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// furnish switches the API on, gives the administrator a key, and adds statuses.
func furnish(t testing.TB, file, key string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	const now = `datetime('now')`
	for _, q := range []string{
		`DELETE FROM settings WHERE name IN ('rest_api_enabled', 'login_required')`,
		`INSERT INTO settings (name, value, updated_on) VALUES ('rest_api_enabled', '1', ` + now + `), ('login_required', '1', ` + now + `)`,
		`UPDATE users SET must_change_passwd = 0 WHERE login = 'admin'`,
		`DELETE FROM tokens WHERE user_id = 1 AND action = 'api'`,
		`INSERT INTO tokens (user_id, action, value, created_on, updated_on) VALUES (1, 'api', '` + key + `', ` + now + `, ` + now + `)`,
		`INSERT INTO issue_statuses (id, name, is_closed, position) VALUES (50, 'Duplicate', 1, 7), (51, 'Not reproducible', 1, 8), (52, 'Locked', 1, 9)`,
		`DELETE FROM workflows WHERE type = 'WorkflowTransition'`,
		`INSERT INTO workflows (tracker_id, old_status_id, new_status_id, role_id, type)
			SELECT t.id, a.id, b.id, r.id, 'WorkflowTransition' FROM trackers t, issue_statuses a, issue_statuses b, roles r WHERE a.id != b.id AND a.id != 52`,
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// Call is what a person does in Redmine: one request, whose answer is returned.
func (s *RedmineServer) Call(t testing.TB, method, path string, in any) map[string]any {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Redmine-API-Key", s.Key)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode > 299 {
		t.Fatalf("%s %s: %s %s %v", method, path, answer.Status, body, err)
	}
	out := map[string]any{}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Project makes a project, and returns its identifier.
func (s *RedmineServer) Project(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("disks-%d", s.projects.Add(1))
	s.Call(t, http.MethodPost, "/projects.json", map[string]any{"project": map[string]any{"name": name, "identifier": name}})
	return name
}

// SetStatus moves an issue to another status.
func (s *RedmineServer) SetStatus(t testing.TB, id string, status int) {
	t.Helper()
	s.Call(t, http.MethodPut, "/issues/"+id+".json", map[string]any{"issue": map[string]any{"status_id": status}})
}

// Count is how many issues a project has, open or not.
func (s *RedmineServer) Count(t testing.TB, project string) int {
	t.Helper()
	n, ok := s.Call(t, http.MethodGet, "/issues.json?status_id=*&project_id="+project, nil)["total_count"].(float64)
	if !ok {
		t.Fatal("Redmine does not say how many issues there are")
	}
	return int(n)
}
