package probe_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk/probe"
)

// daemon plays an OSD: it answers commands by these texts.
func daemon(t *testing.T, path string, answers map[string]string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			request, _ := bufio.NewReader(conn).ReadBytes(0)
			var q struct{ Prefix string }
			if len(request) > 0 && json.Unmarshal(request[:len(request)-1], &q) == nil {
				body := answers[q.Prefix]
				_, _ = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
			}
			_ = conn.Close()
		}
	}()
}

func TestOSD_AsksTheOneOnTheDisk(t *testing.T) {
	t.Parallel()
	const none = `{"ops":[]}`
	well := map[string]string{"status": `{"osd_fsid":"u"}`, "perf dump": `{"bluestore":{"read_eio":0,"reads_with_retries":0}}`, "dump_blocked_ops": none, "dump_historic_slow_ops": none}
	for _, c := range []struct {
		name, command, answer string
		want, words           string
	}{
		{"all is well", "", "", "osd.read_errors=0 osd.spurious_reads=0 osd.slow_ops=0", ""},
		{"read errors", "perf dump", `{"bluestore":{"read_eio":3,"reads_with_retries":0}}`, "osd.read_errors>1 osd.spurious_reads=0 osd.slow_ops=0", "osd.7 has met 3 I/O errors"},
		{"spurious reads", "perf dump", `{"bluestore":{"read_eio":0,"reads_with_retries":1}}`, "osd.read_errors=0 osd.spurious_reads=1 osd.slow_ops=0", "only when repeated"},
		{"a version with other counters", "perf dump", `{"bluestore":{}}`, "osd.slow_ops=0", ""},
		{"not BlueStore", "perf dump", `{}`, "osd.read_errors? osd.slow_ops=0", "no part named bluestore"},
		{"operations that hang", "dump_blocked_ops", `{"ops":[{"age":40,"duration":40}]}`, "osd.read_errors=0 osd.spurious_reads=0 osd.slow_ops=1", "up to 40s"},
		{"operations that were slow just now", "dump_historic_slow_ops", `{"Ops":[{"age":100,"duration":31}]}`, "osd.read_errors=0 osd.spurious_reads=0 osd.slow_ops=1", "up to 31s"},
		{"and those of long ago, which it keeps", "dump_historic_slow_ops", `{"Ops":[{"age":9000,"duration":31}]}`, "osd.read_errors=0 osd.spurious_reads=0 osd.slow_ops=0", ""},
		{"it does not track them", "dump_blocked_ops", "op_tracker tracking is not enabled now", "osd.read_errors=0 osd.spurious_reads=0 osd.slow_ops?", "dump_blocked_ops"},
		{"another OSD has that number", "status", `{"osd_fsid":"v"}`, "osd.read_errors?", "has no admin socket at"},
		{"it talks nonsense", "status", `{`, "osd.read_errors?", "osd.7: "},
	} {
		answers := map[string]string{}
		for k, v := range well {
			answers[k] = v
		}
		if c.command != "" {
			answers[c.command] = c.answer
		}
		dir := t.TempDir()
		daemon(t, filepath.Join(dir, "ceph-osd.7.asok"), answers)
		o := &probe.OSD{Sockets: []string{filepath.Join(dir, "none", "*-osd.{id}.asok"), filepath.Join(dir, "*-osd.{id}.asok")}}
		got := o.Probe(t.Context(), glia.Disk{OSDs: []glia.OSD{
			{ID: 7, UUID: "u", Role: glia.RoleBlock}, {ID: 8, UUID: "w", Role: glia.RoleDB}, {ID: -1, Role: glia.RoleBlock}}})
		if say(got) != c.want || !strings.Contains(details(got), c.words) {
			t.Errorf("%s: %s, want %s\n%s", c.name, say(got), c.want, details(got))
		}
	}
}
