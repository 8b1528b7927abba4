package template_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"glia/synapse/disk"
	"glia/synapse/service"
	"glia/synapse/template"
)

func backends(hosts string) (out []service.Backend) {
	for h := range strings.FieldsSeq(hosts) {
		out = append(out, service.Backend{Name: "n", Host: h, Port: 80})
	}
	return out
}

// bed is a template with its file and a command that adds a line to a log.
type bed struct {
	*testing.T
	dir string
	o   template.Options
}

func newBed(t *testing.T) *bed {
	b := &bed{T: t, dir: t.TempDir()}
	b.o = template.Options{
		Name: "t", Text: "{{range .Services}}{{.Name}}:{{range .Backends}} {{.Address}}{{end}}\n{{end}}", Services: []string{"a", "b"},
		File:    disk.File{Path: b.at("out"), Check: []string{"sh", "-c", "! grep -q bad {file}"}, Timeout: time.Minute},
		Command: []string{"sh", "-c", "test ! -e " + b.at("broken") + " && echo run >> " + b.at("log")}, Quiet: 20 * time.Millisecond, Again: 20 * time.Millisecond,
	}
	return b
}

func (b *bed) at(name string) string { return filepath.Join(b.dir, name) }

func (b *bed) read(name string) string {
	data, _ := os.ReadFile(b.at(name))
	return string(data)
}

func (b *bed) start() (o *template.Output, stop func()) {
	b.Helper()
	o, err := template.New(b.o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = o.Run(ctx) }()
	stop = func() { cancel(); <-done }
	b.Cleanup(stop)
	return o, stop
}

func (b *bed) until(what string, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("never: %s; file %q, log %q", what, b.read("out"), b.read("log"))
		}
	}
}

func TestOutput_RunsItsCommandAfterEachChangeAndNeverWithout(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	o, stop := b.start()
	o.Set("a", backends("h2 h1"))
	o.Set("a", backends("h1 h2"))
	o.Set("other", nil)
	o.Set("b", nil) // an earlier writing would have run the command twice
	b.until("it is written once all are known", func() bool { return b.read("out") == "a: h1:80 h2:80\nb:\n" && b.read("log") == "run\n" })
	o.Set("a", backends("h2 h1"))
	o.Set("b", backends("h3"))
	b.until("a change", func() bool { return b.read("out") == "a: h1:80 h2:80\nb: h3:80\n" && b.read("log") == "run\nrun\n" })

	o.Set("b", backends("bad"))
	b.until("the check refuses", func() bool { return o.Problem() != nil && strings.Contains(o.Problem().Error(), "not put in place") })
	if b.read("out") != "a: h1:80 h2:80\nb: h3:80\n" || b.read("log") != "run\nrun\n" {
		t.Errorf("after a refusal: %q, %q", b.read("out"), b.read("log"))
	}
	if err := os.WriteFile(b.at("broken"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Set("b", backends("h4"))
	b.until("the command fails, and the file is put back", func() bool {
		return o.Problem() != nil && strings.Contains(o.Problem().Error(), "exit status 1") && strings.HasSuffix(b.read("out"), "b: h3:80\n")
	})
	if err := os.Remove(b.at("broken")); err != nil {
		t.Fatal(err)
	}
	b.until("it is tried again", func() bool { return o.Problem() == nil && strings.HasSuffix(b.read("out"), "b: h4:80\n") })
	ran := b.read("log")
	stop()

	// The next start runs nothing for the same file, unless the command was cut short.
	synctest.Test(t, func(t *testing.T) {
		o, err := template.New(b.o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = o.Run(ctx) }()
		o.Set("a", backends("h1 h2"))
		o.Set("b", backends("h4"))
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		<-done
	})
	if b.read("log") != ran {
		t.Error("the command was run for nothing")
	}
	if err := os.WriteFile(b.at("out.pending"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o, _ = b.start()
	o.Set("a", backends("h1 h2"))
	o.Set("b", backends("h4"))
	b.until("the command is made good", func() bool { return b.read("log") == ran+"run\n" })
}

func TestNew_RefusesWhatCanNotBeFilledIn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{{":                         "template",
		"{{.Nonsense}}":              "Nonsense",
		`{{(service "other").Name}}`: "service other is none of the template's",
	} {
		if _, err := template.New(template.Options{Name: "t", Text: text, Services: []string{"a"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestExamples(t *testing.T) {
	t.Parallel()
	weight := 3
	for name, want := range map[string]string{
		"nginx":     "upstream a {\n\tserver 10.0.0.1:80 weight=3;\n\tserver [::1]:81 down;\n}\nupstream b {\n\tserver 127.0.0.1:9 down;\n}\n",
		"memcached": "10.0.0.1:80\n[::1]:81\n",
		"hosts":     "127.0.0.1 localhost\n::1 localhost\n10.0.0.1 a.synapse\n::1 a.synapse\n",
		"envoy-eds": "",
	} {
		text, err := os.ReadFile("../../config/templates/" + name + ".tmpl")
		if err != nil {
			t.Fatal(err)
		}
		b := newBed(t)
		b.o.Text, b.o.Command, b.o.File.Check = string(text), nil, nil
		o, _ := b.start()
		o.Set("a", []service.Backend{{Host: "::1", Port: 81, Draining: true}, {Host: "10.0.0.1", Port: 80, Weight: &weight}})
		o.Set("b", nil)
		b.until("it is written", func() bool { return b.read("out") != "" })
		if name == "envoy-eds" {
			var doc struct {
				Resources []struct {
					ClusterName string `json:"cluster_name"`
				} `json:"resources"`
			}
			if err := json.Unmarshal([]byte(b.read("out")), &doc); err != nil || len(doc.Resources) != 2 || doc.Resources[0].ClusterName != "a" {
				t.Errorf("%v\n%s", err, b.read("out"))
			}
		} else if got := b.read("out"); got != want {
			t.Errorf("%s: %q\nwant %q", name, got, want)
		}
	}
}
