package haproxy

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// write puts the file in place when it is due, and reloads when that is. While a reload is wanted the file waits for it, so that it
// can be put back as it was.
func (o *Output) write(ctx context.Context, now time.Time) {
	text := o.r.Text()
	sum := hash(text)
	reload := o.reload != "" && !now.Before(o.reloadAt)
	if !reload && (o.reload != "" || now.Before(o.fileAt) || sum == o.written && !o.unsaved) {
		return
	}
	var before []byte
	if sum != o.written && !o.o.File.Holds(text) {
		var err error
		before, err = o.o.File.Swap(ctx, text)
		if err != nil && ctx.Err() != nil {
			return // asked to stop; the next start writes it
		}
		o.fault("file", err)
		if err != nil {
			o.metrics.checks.Inc()
			o.fileAt = now.Add(max(o.o.FileInterval, o.o.Resync))
			if reload {
				o.reloadAt = o.fileAt
			}
			return
		}
	}
	o.fault("file", nil)
	o.written, o.fileAt = sum, now.Add(o.o.FileInterval)
	if reload {
		o.reloadNow(ctx, before)
	}
	o.save(now)
}

// reloadNow reloads, and puts the file back when HAProxy refuses it.
func (o *Output) reloadNow(ctx context.Context, before []byte) {
	why := o.reload
	wait := o.o.ReloadInterval + o.jitter()
	err := o.reloadAndSee(ctx)
	now := o.o.Now()
	if err != nil && ctx.Err() != nil {
		return // asked to stop; as nothing is noted, the next start reloads
	}
	if err != nil {
		o.failures++
		o.metrics.reloads.WithLabelValues("failed").Inc()
		o.reloadAt = now.Add(wait << min(o.failures, 5))
		if before != nil {
			err = errors.Join(err, o.o.File.Restore(before))
			o.written = ""
		}
		o.fileAt = o.reloadAt
		o.fault("reload", err)
		return
	}
	o.fault("reload", nil)
	o.o.Log.Info("haproxy reloaded", "reason", why)
	o.metrics.reloads.WithLabelValues("done").Inc()
	o.reload, o.failures, o.reloadAt = "", 0, now.Add(wait)
	o.s.Structure, o.unsaved = o.structure(), true
	o.loadedIsFile(now)
	o.all = true
	o.resyncAt = now // what has changed meanwhile
}

// reloadAndSee runs the command, and waits until another process answers the sockets.
func (o *Output) reloadAndSee(ctx context.Context) error {
	var before []process
	for _, s := range o.o.Sockets {
		p, _ := s.process(ctx) // one that does not run is another one afterwards
		before = append(before, p)
	}
	if out, err := run(ctx, o.o.ReloadTimeout, o.o.Reload); err != nil {
		return fmt.Errorf("reload HAProxy: %w: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(ctx, o.o.ReloadTimeout)
	defer cancel()
	for i, s := range o.o.Sockets {
		for {
			p, err := s.process(ctx)
			if err == nil && p != before[i] {
				if i == 0 {
					o.s.Process = p
				}
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("reload HAProxy: %s ended well, and no new process answers at %s after %v; look into HAProxy's log", o.o.Reload[0], s.Path, o.o.ReloadTimeout)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// loadedIsFile notes that what runs is what the file says, and perhaps more from a file before.
func (o *Output) loadedIsFile(now time.Time) {
	for _, s := range o.r.services {
		m := o.s.Loaded[s.backendName()]
		if m == nil {
			m = map[string]Loaded{}
		}
		for _, p := range s.specs {
			l := loadedFrom(p)
			if p.gone {
				l.Gone = now
			}
			m[p.name] = l
		}
		o.s.Loaded[s.backendName()] = m
	}
}
