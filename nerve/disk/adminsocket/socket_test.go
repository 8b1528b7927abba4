package adminsocket_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/nerve/disk/adminsocket"
)

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecode_RecordedAnswers(t *testing.T) {
	t.Parallel()
	reads, err := adminsocket.DecodePerf(recorded(t, "perf.json"))
	if zero := (adminsocket.Counter{Known: true}); err != nil || reads.Errors != zero || reads.Spurious != zero {
		t.Errorf("%+v, %v", reads, err)
	}
	ops, err := adminsocket.DecodeOps(recorded(t, "slow.json"))
	if err != nil || len(ops) != 4 || ops[0].Took != 14022744*time.Nanosecond || ops[0].Ago < 200*time.Millisecond || ops[0].Ago > 300*time.Millisecond {
		t.Errorf("%+v, %v", ops, err)
	}
	const uuid = "bad06d3d-1c8b-4249-b6a3-b1c95fa4dbb1"
	if err := adminsocket.DecodeStatus(recorded(t, "status.json"), uuid); err != nil {
		t.Error(err)
	}
	if err := adminsocket.DecodeStatus(recorded(t, "status.json"), "another"); !errors.Is(err, adminsocket.ErrOther) {
		t.Error(err)
	}
}

func TestDecode_OtherAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer string
		want   adminsocket.Reads
		bad    bool
	}{
		{`{"bluestore":{"read_eio":3,"reads_with_retries":9}}`, adminsocket.Reads{Errors: adminsocket.Counter{Value: 3, Known: true}, Spurious: adminsocket.Counter{Value: 9, Known: true}}, false},
		{`{"bluestore":{}}`, adminsocket.Reads{}, false},
		{`{"filestore":{}}`, adminsocket.Reads{}, true},
		{`{"bluestore":{"bluestore_read_eio":-1}}`, adminsocket.Reads{}, true},
		{`{"bluestore":{"bluestore_read_eio":"many"}}`, adminsocket.Reads{}, true},
		{`{"bluestore":{"bluestore_read_eio":null}}`, adminsocket.Reads{}, true},
		{`op_tracker tracking is not enabled now`, adminsocket.Reads{}, true},
	} {
		got, err := adminsocket.DecodePerf([]byte(c.answer))
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: %+v, %v", c.answer, got, err)
		}
	}
	for _, answer := range []string{``, `{}`, `{"ops":null}`, `{"ops":[{"age":"x"}]}`, `op_tracker tracking is not enabled now`} {
		if ops, err := adminsocket.DecodeOps([]byte(answer)); err == nil {
			t.Errorf("%s: %v", answer, ops)
		}
	}
	if err := adminsocket.DecodeStatus([]byte(`{"whoami":3}`), "u"); err == nil {
		t.Error("an OSD without a uuid is taken for the one that was meant")
	}
}

// serve listens and answers each connection by the function.
func serve(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
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
			go func() { defer conn.Close(); answer(conn) }()
		}
	}()
	return path
}

func TestAsk_DaemonsThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for _, c := range []struct {
		name, path, want string
	}{
		{"hangs", serve(t, func(net.Conn) { <-hang }), "no answer in time"},
		{"goes away", serve(t, func(net.Conn) {}), "EOF"},
		{"cut off", serve(t, func(c net.Conn) { _, _ = c.Write([]byte{0, 0, 0, 9, 'x'}) }), "EOF"},
		{"too long", serve(t, func(c net.Conn) { _, _ = c.Write([]byte{0xff, 0, 0, 0}) }), "is no answer"},
		{"nobody listens", filepath.Join(t.TempDir(), "s"), "no such file"},
	} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("no answer in time"))
		_, err := adminsocket.Ask(ctx, c.path, "status")
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) && !strings.Contains(err.Error(), "reset by peer") && !strings.Contains(err.Error(), "broken pipe") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"perf.json", "slow.json", "status.json"} {
		f.Add(recorded(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := adminsocket.DecodePerf(b); err != nil && r != (adminsocket.Reads{}) {
			t.Errorf("%+v comes with the error %v", r, err)
		}
		ops, err := adminsocket.DecodeOps(b)
		for _, op := range ops {
			if err != nil || op.Took < 0 || op.Ago < 0 || op.Took > 24*time.Hour {
				t.Errorf("%+v, %v", op, err)
			}
		}
		_ = adminsocket.DecodeStatus(b, "u")
	})
}
