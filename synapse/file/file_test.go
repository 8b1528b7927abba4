package file_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"glia/synapse/file"
	"glia/synapse/service"
)

func ptr[T any](v T) *T { return &v }

func TestOutput_WritesWhatSynapseWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"old.json", "web.json", "note.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := file.New(dir, []string{"web", "empty"})
	if err != nil {
		t.Fatal(err)
	}
	web := []service.Backend{
		{Name: "i-1", Host: "10.0.0.1", Port: 3000, ID: ptr(uint64(5)), Weight: ptr(2), Options: "backup", Labels: map[string]string{"az": "<a>"}},
		{Host: "h", Port: 1},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = o.Run(ctx) }()
	defer func() { cancel(); <-done }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("never: %s; problem: %v", what, o.Problem())
			}
		}
	}
	o.Set("other", web)
	o.Set("empty", nil)
	o.Set("web", web)
	path := filepath.Join(dir, "web.json")
	until("all is written", func() bool {
		b, _ := os.ReadFile(path)
		_, err := os.Stat(filepath.Join(dir, "empty.json"))
		return len(b) > 1 && err == nil
	})
	want := map[string]string{
		"web.json": `[{"name":"i-1","host":"10.0.0.1","port":3000,"id":5,"weight":2,"haproxy_server_options":"backup","labels":{"az":"<a>"}},` +
			`{"name":null,"host":"h","port":1,"id":null,"weight":null,"haproxy_server_options":null,"labels":null}]`,
		"empty.json": `[]`, "note.txt": "x",
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range there {
		if got, _ := os.ReadFile(filepath.Join(dir, e.Name())); string(got) != want[e.Name()] {
			t.Errorf("%s: %s", e.Name(), got)
		}
		delete(want, e.Name())
	}
	if len(want) > 0 || o.Problem() != nil {
		t.Errorf("not there: %v; problem %v", want, o.Problem())
	}
	before, _ := os.Stat(path)
	o.Set("web", web)
	for _, list := range [][]service.Backend{web, nil} { // after the second one also the first turn is over
		o.Set("empty", list)
		until("it is written", func() bool {
			b, _ := os.ReadFile(filepath.Join(dir, "empty.json"))
			return (len(b) > 2) == (list != nil)
		})
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("an identical file was written again")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	o.Set("web", web)
	until("it is told", func() bool { return o.Problem() != nil })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	until("it is written after all", func() bool { return o.Problem() == nil })
}
