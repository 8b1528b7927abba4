// Package template writes files from Go templates of the operator, filled with the backends of services, and runs a command after each
// change: for nginx, Envoy, a ring of memcached, a hosts file, and whatever else reads a file.
//
// A file is written only when it would say something else, only after all its services were told once, and as a whole. Changes that
// come close together are one. When the check refuses the candidate, the file stays as it was. The command is run after each change of
// the file and never without one; when it fails, the file is put back and both are tried again. A change whose command was cut short by
// the end of the program is made good at the next start.
package template

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	"glia/synapse/disk"
	"glia/synapse/service"
)

// Options configure an Output. Name, Text and File.Path are required.
type Options struct {
	Name     string // of the template, for people
	Text     string // of the template
	Services []string
	File     disk.File
	Command  []string      // argv, run after a change; empty for none
	Timeout  time.Duration // of the command; 0 is a minute
	Quiet    time.Duration // how long nothing must change before it is written; a change waits ten times as long at most
	Again    time.Duration // after a failure; 0 is 5 s

	Log *slog.Logger
}

// Service is what a template sees of a service.
type Service struct {
	Name     string
	Backends []Backend // by host, port and name
}

// Backend is what a template sees of a backend.
type Backend struct {
	Name     string
	Host     string
	Port     int
	Weight   int // -1 when none is announced
	Options  string
	Labels   map[string]string
	Draining bool
}

// Address is host:port.
func (b Backend) Address() string { return net.JoinHostPort(b.Host, strconv.Itoa(b.Port)) }

// Output writes one file. Set and Problem are safe for concurrent use; Run may be called once.
type Output struct {
	o    Options
	tmpl *template.Template
	wake chan struct{}

	mu      sync.Mutex
	known   map[string][]Backend // of the services that were told
	problem error
}

// New reads the template, and fills it in once with services that have no backends, so that a mistake is found before it matters.
func New(o Options) (*Output, error) {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Again <= 0 {
		o.Again = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	out := &Output{o: o, wake: make(chan struct{}, 1), known: map[string][]Backend{}}
	var err error
	out.tmpl, err = template.New(o.Name).Option("missingkey=error").Funcs(template.FuncMap{
		"json": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"join": func(sep string, list []string) string { return strings.Join(list, sep) },
		"service": func(name string) (Service, error) {
			return Service{}, fmt.Errorf("service %s is none of the template's", name)
		},
	}).Parse(o.Text)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if _, err := out.fill(); err != nil {
		return nil, err
	}
	return out, nil
}

// fill is the text with what is known.
func (o *Output) fill() (string, error) {
	o.mu.Lock()
	var all []Service
	for _, name := range o.o.Services {
		all = append(all, Service{name, o.known[name]})
	}
	o.mu.Unlock()
	t, err := o.tmpl.Clone()
	if err != nil {
		return "", fmt.Errorf("template: %w", err)
	}
	t.Funcs(template.FuncMap{"service": func(name string) (Service, error) {
		if i := slices.Index(o.o.Services, name); i >= 0 {
			return all[i], nil
		}
		return Service{}, fmt.Errorf("service %s is none of the template's", name)
	}})
	var b strings.Builder
	if err := t.Execute(&b, struct{ Services []Service }{all}); err != nil {
		return "", fmt.Errorf("template: %w", err)
	}
	return b.String(), nil
}

// Set notes the backends of a service for Run, and waits for nothing.
func (o *Output) Set(name string, backends []service.Backend) {
	if !slices.Contains(o.o.Services, name) {
		return
	}
	list := make([]Backend, 0, len(backends))
	for _, b := range backends {
		weight := -1
		if b.Weight != nil {
			weight = *b.Weight
		}
		list = append(list, Backend{b.Name, b.Host, b.Port, weight, b.Options, b.Labels, b.Draining})
	}
	slices.SortFunc(list, func(a, b Backend) int {
		return strings.Compare(fmt.Sprintf("%s\x00%05d\x00%s", a.Host, a.Port, a.Name), fmt.Sprintf("%s\x00%05d\x00%s", b.Host, b.Port, b.Name))
	})
	o.mu.Lock()
	o.known[name] = list
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// mostQuiet is how many times the quiet a change waits at most.
const mostQuiet = 10

// Run writes until ctx is done.
func (o *Output) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	var due, latest time.Time // zero when nothing is to be done
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
			now := time.Now()
			if latest.IsZero() {
				latest = now.Add(mostQuiet * o.o.Quiet)
			}
			if due = now.Add(o.o.Quiet); due.After(latest) {
				due = latest
			}
			timer.Reset(time.Until(due))
		case <-timer.C:
			latest = time.Time{}
			if !o.turn(ctx) {
				timer.Reset(o.o.Again)
			}
		}
	}
}

// turn writes if that is needed, and says whether all is well.
func (o *Output) turn(ctx context.Context) bool {
	o.mu.Lock()
	ready := len(o.known) == len(o.o.Services)
	o.mu.Unlock()
	if !ready {
		return true // the last service wakes it
	}
	err := o.write(ctx)
	if ctx.Err() != nil {
		return true
	}
	if err != nil {
		err = fmt.Errorf("template %s: %w", o.o.Name, err)
	}
	o.mu.Lock()
	was := o.problem
	o.problem = err
	o.mu.Unlock()
	switch {
	case err != nil && (was == nil || was.Error() != err.Error()):
		o.o.Log.Warn("file of a template is not as it should be", "file", o.o.File.Path, "error", err)
	case err == nil && was != nil:
		o.o.Log.Info("file of a template is as it should be", "file", o.o.File.Path)
	}
	return err == nil
}

// pending is a file that is there while the command still has to be run.
func (o *Output) pending() string { return o.o.File.Path + ".pending" }

func (o *Output) write(ctx context.Context) error {
	text, err := o.fill()
	if err != nil {
		return err
	}
	_, err = os.Lstat(o.pending())
	cut := err == nil
	if o.o.File.Holds(text) && !cut {
		return nil
	}
	if len(o.o.Command) > 0 {
		if err := os.WriteFile(o.pending(), nil, 0o600); err != nil {
			return fmt.Errorf("note that the command is to be run: %w", err)
		}
	}
	var before []byte
	if !o.o.File.Holds(text) {
		if before, err = o.o.File.Swap(ctx, text); err != nil {
			if !cut {
				err = errors.Join(err, o.done())
			}
			return err
		}
		o.o.Log.Info("file of a template written", "file", o.o.File.Path)
	}
	if len(o.o.Command) == 0 {
		return nil
	}
	if out, err := disk.Run(ctx, o.o.Timeout, o.o.Command); err != nil {
		if ctx.Err() != nil {
			return err // asked to stop; the next start runs it
		}
		err = fmt.Errorf("%s: %w: %s", o.o.Command[0], err, out)
		if before != nil {
			err = errors.Join(err, o.o.File.Restore(before))
		}
		return err
	}
	return o.done()
}

func (o *Output) done() error {
	if err := os.Remove(o.pending()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note that the command was run: %w", err)
	}
	return nil
}

// Problem says why the file is not as it should be, or is nil.
func (o *Output) Problem() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.problem
}
