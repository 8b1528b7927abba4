package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// addable says whether servers can be added to the backend of a service at run time: HAProxy gives them no cookie and nothing of
// default-server.
func (o *Output) addable(s *rendered) bool {
	return len(o.o.Sockets) > 0 && !s.sticky && !s.defaulted
}

// tell brings the running processes in line through their sockets.
func (o *Output) tell(ctx context.Context, now time.Time) {
	if !o.all && len(o.dirty) == 0 {
		return
	}
	if len(o.o.Sockets) == 0 {
		o.compareWithLoaded(now)
		o.all, o.dirty = false, map[string]bool{}
		return
	}
	if o.s.Structure == "" {
		return // nothing is known of what runs; a reload comes first
	}
	var bad []error
	for i, sock := range o.o.Sockets {
		if err := o.tellOne(ctx, i, sock, now); err != nil {
			bad = append(bad, err)
			o.metrics.commands.WithLabelValues("failed").Inc()
		}
	}
	o.fault("sockets", errors.Join(bad...))
	if len(bad) == 0 {
		o.all, o.dirty = false, map[string]bool{}
	}
}

// compareWithLoaded finds out what a reload is needed for where there are no sockets.
func (o *Output) compareWithLoaded(now time.Time) {
	for _, s := range o.r.services {
		loaded := o.s.Loaded[s.backendName()]
		if len(loaded) != len(s.specs) {
			o.need("the servers of "+s.backendName()+" have changed, and there is no stats socket", now)
		}
		for _, p := range s.specs {
			told := loaded[p.name]
			if l := loadedFrom(p); told.Text != l.Text || told.Weight != l.Weight || told.Gone.IsZero() == p.gone {
				o.need("server "+s.backendName()+"/"+p.name+" has changed, and there is no stats socket", now)
			}
		}
	}
}

// looks is the number of backends up to which they are looked at one by one, and not all servers together.
const looks = 32

// tellOne compares with one process, all of it or what is dirty, and does what can be done at run time.
func (o *Output) tellOne(ctx context.Context, i int, sock Socket, now time.Time) error {
	var of []string
	if !o.all && len(o.dirty) <= looks {
		for name := range o.dirty {
			of = append(of, o.r.byName[name].backendName())
		}
	}
	p, has, err := sock.look(ctx, of...)
	if err != nil {
		return err
	}
	if i == 0 && p != o.s.Process {
		// Somebody else has started or reloaded it: what it knows is from the file.
		if o.s.Process.PID != 0 {
			o.o.Log.Info("haproxy is another process; it has read the file", "pid", p.PID)
			o.hasRead(p, now)
		}
		o.s.Process, o.unsaved = p, true
	}
	for _, s := range o.r.services {
		if !o.all && !o.dirty[s.Name] {
			continue
		}
		be := s.backendName()
		loaded := o.s.Loaded[be]
		if loaded == nil {
			loaded = map[string]Loaded{}
			o.s.Loaded[be] = loaded
		}
		d := decide(be, s.specs, has[be], loaded, o.resolver(ctx, s), now)
		if d.reload != "" {
			o.need(d.reload, now)
		}
		if err := o.do(ctx, sock, d, loaded, i == len(o.o.Sockets)-1, now); err != nil {
			return err
		}
	}
	return nil
}

// resolver tells addresses for servers of a service.
func (o *Output) resolver(ctx context.Context, s *rendered) func(string) string {
	addable := o.addable(s)
	return func(host string) string {
		if !addable {
			return ""
		}
		if _, err := netip.ParseAddr(host); err == nil {
			return host
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if found, err := net.DefaultResolver.LookupHost(ctx, host); err == nil && len(found) > 0 {
			return found[0]
		}
		return ""
	}
}

// do gives the commands and reads their answers. That something may have been done is noted before, and that it was once the last process
// has done it. A refusal means a reload, unless it may be.
func (o *Output) do(ctx context.Context, sock Socket, d decision, loaded map[string]Loaded, last bool, now time.Time) error {
	var texts []string
	for _, c := range d.commands {
		if c.before != nil {
			c.before(loaded)
			o.unsaved = true
		}
		if c.text != "" {
			texts = append(texts, c.text)
		}
	}
	var answers []string
	if len(texts) > 0 {
		var err error
		if answers, err = sock.ask(ctx, texts...); err != nil {
			return err
		}
	}
	refused := map[string]bool{}
	for _, c := range d.commands {
		done := true
		if c.text != "" {
			a := answers[0]
			answers = answers[1:]
			done = c.want == "" && (a == "" || strings.HasPrefix(a, "no need to change")) || c.want != "" && strings.HasPrefix(a, c.want)
			if !done && !c.may && !refused[c.server] {
				o.need(fmt.Sprintf("HAProxy answers %q to %q", a, c.text), now)
				refused[c.server] = true
			}
		}
		result := "refused"
		if done && !refused[c.server] {
			result = "done"
			if c.after != nil && last {
				c.after(loaded)
				o.unsaved = true
			}
		}
		if c.text != "" {
			o.metrics.commands.WithLabelValues(result).Inc()
		}
	}
	return nil
}
