package program_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"glia/internal/testbed"
)

// runs says whether HAProxy runs on a file with that backend.
func (s *stack) runs(backend string) func() bool {
	return func() bool { return strings.Contains(s.runtime("show backend"), "\n"+backend+"\n") }
}

// TestSmartstack_ReloadsUnderTraffic gives synapse 50 configurations one after the other, good ones and bad ones, while clients ask through
// HAProxy: none of them may notice.
func TestSmartstack_ReloadsUnderTraffic(t *testing.T) {
	t.Parallel()
	server := testbed.ZooKeeper(t, "maxSessionTimeout=60000")
	conn := testbed.ZooKeeperClient(t, server, time.Minute)
	one, two := backend(t, "one"), backend(t, "two")
	for path, data := range map[string]string{
		"/web": "", "/other": "", "/more": "",
	} {
		insist(t, func() error { _, err := conn.Create(path, []byte(data), 0, zk.WorldACL(zk.PermAll)); return err })
	}
	for path, data := range map[string]string{
		"/web/one":   fmt.Sprintf(`{"host":%q,"port":%d,"name":"one","labels":{"az":"a"}}`, one.Host, one.Port),
		"/web/two":   fmt.Sprintf(`{"host":%q,"port":%d,"name":"two","labels":{"az":"a"}}`, two.Host, two.Port),
		"/other/one": fmt.Sprintf(`{"host":%q,"port":%d,"name":"x"}`, one.Host, one.Port),
		"/more/two":  fmt.Sprintf(`{"host":%q,"port":%d,"name":"y"}`, two.Host, two.Port),
	} {
		insist(t, func() error { _, err := conn.Create(path, []byte(data), 0, zk.WorldACL(zk.PermAll)); return err })
	}
	s := rewrittenStack(t, server.Addr, []string{`reload_interval = "1s"`, `reload_interval = "20ms"`})
	s.until("both serve", s.serves("one", "two"))
	s.until("the other service is there", func() bool { return strings.Contains(s.rendered(), "server x_") })
	base := s.text()
	files, tmpl, made := t.TempDir(), filepath.Join(t.TempDir(), "t.tmpl"), filepath.Join(t.TempDir(), "made")
	if err := os.WriteFile(tmpl, []byte("{{range .Services}}{{.Name}} {{end}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(replacements ...string) string { return strings.NewReplacer(replacements...).Replace(base) }
	has := func(name, text string) func() bool {
		return func() bool { b, _ := os.ReadFile(name); return strings.Contains(string(b), text) }
	}
	rendered := func(text string) func() bool { return func() bool { return strings.Contains(s.rendered(), text) } }
	more := base + "[[service]]\nname = \"more\"\n[[service.source]]\nmethod = \"zookeeper\"\npath = \"/more\"\n"
	good := []struct {
		text string
		seen func() bool
	}{
		{with("check inter 100ms", "check inter 150ms"), rendered("inter 150ms")},
		{more, rendered("server y_")},
		{with("balance roundrobin", "balance leastconn"), rendered("balance leastconn")},
		{with("[[service]]\nname = \"web\"\n", "[[service]]\nname = \"web\"\nfilters = [\"az=a\"]\n"), rendered("balance roundrobin")},
		{with("session_timeout = \"2s\"", "session_timeout = \"3s\"") + "[[haproxy.section]]\ntitle = \"backend extra\"\nlines = []\n", rendered("backend extra")},
		{with("name = \"other\"\n", "name = \"other\"\nfile = true\n") + "[files]\ndirectory = \"" + files + "\"\n", has(filepath.Join(files, "other.json"), `"x"`)},
		{base + "[[template]]\nsource = \"" + tmpl + "\"\ndestination = \"" + made + "\"\nquiet = \"1ms\"\n", has(made, "web other")},
		{with("[[service]]\nname = \"other\"\n[[service.source]]\nmethod = \"zookeeper\"\npath = \"/other\"\n", ""), func() bool { return !strings.Contains(s.rendered(), "backend other") }},
		{base, rendered("backend other")},
	}
	bad := []struct{ text, why string }{
		{with("check inter 100ms", "check inter never"), "inter"}, // HAProxy says so
		{base + "[nonsense]\n", s.file + ":"},
		{with("balance roundrobin", "blance"), "blance"},
		{with("path = \"/web\"", "path = \"web\""), "is not the absolute path of a folder"},
	}
	end := s.traffic()
	for i := range 50 {
		if i%5 == 4 {
			b, was, pid := bad[i/5%len(bad)], s.rendered(), s.pid()
			if err := s.reload(b.text); err == nil || !strings.Contains(err.Error(), b.why) {
				t.Errorf("reload %d: %v, want %s", i, err, b.why)
			}
			if s.rendered() != was || s.pid() != pid {
				t.Errorf("reload %d was refused, and has changed something", i)
			}
			continue
		}
		g := good[i%len(good)]
		text := g.text
		if i%5 == 3 { // before a bad one HAProxy is to have what was good
			text += fmt.Sprintf("[[haproxy.section]]\ntitle = \"backend mark-%d\"\nlines = []\n", i)
			g.seen = s.runs(fmt.Sprint("mark-", i))
		}
		if err := s.reload(text); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
		s.until(fmt.Sprint("what is wanted of reload ", i), g.seen)
	}
	end()
	last := base + "[[haproxy.section]]\ntitle = \"backend calm\"\nlines = []\n"
	if err := s.reload(last); err != nil {
		t.Fatal(err)
	}
	s.until("HAProxy runs on the last one", func() bool {
		return strings.Contains(s.runtime("show backend"), "\ncalm\n") && strings.Contains(s.readyz(), "services: ready")
	})
	s.until("both serve", s.serves("one", "two"))
	// What changes nothing reloads nothing, and opens no other session.
	pid := s.pid()
	if err := s.reload("# a comment\n" + last); err != nil {
		t.Fatal(err)
	}
	insist(t, func() error { return conn.Delete("/web/two", -1) })
	s.until("changes are followed", s.serves("one"))
	if s.pid() != pid {
		t.Error("a comment has reloaded HAProxy")
	}
}
