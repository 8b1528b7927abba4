package haproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"glia/synapse/disk"
)

// put is how a writing behind the back of Run has ended.
type put struct {
	sum   string
	file  error // why the file is not in place
	state error // why the state is not written; it is written only after the file
}

// write puts the file in place when it is due, and reloads when that is. While a reload is wanted the file waits for it, so that it
// can be put back as it was. Without a reload both are written while Run goes on: HAProxy's check of a large file takes longer than the
// next change may wait.
func (o *Output) write(ctx context.Context, now time.Time) {
	if o.writing {
		select {
		case p := <-o.puts:
			o.wrote(ctx, p, now)
		default:
			return // it wakes Run when it ends
		}
	}
	text := o.r.Text()
	sum := hash(text)
	reload := o.reload != "" && !now.Before(o.reloadAt)
	if !reload && (o.reload != "" || now.Before(o.fileAt) || sum == o.written && !o.unsaved) {
		return
	}
	if !reload {
		o.writeBehind(ctx, text, sum, now)
		return
	}
	var before []byte
	if sum != o.written && !o.o.File.Holds(text) {
		var err error
		before, err = o.o.File.Swap(ctx, text)
		if err != nil && ctx.Err() != nil {
			return // asked to stop; the next start writes it
		}
		if err != nil {
			o.refused(err, now)
			o.reloadAt = o.fileAt
			return
		}
	}
	o.fault("file", nil)
	o.written, o.fileAt = sum, now.Add(o.o.FileInterval)
	o.reloadNow(ctx, before)
	o.save(now)
}

// writeBehind writes the file, and then the state as it is now.
func (o *Output) writeBehind(ctx context.Context, text, sum string, now time.Time) {
	swap := sum != o.written
	o.s.At = now
	state, err := json.Marshal(o.s)
	o.writing, o.unsaved = true, false
	file, path := o.o.File, o.o.StateFile
	go func() {
		p := put{sum: sum, state: err}
		if swap && !file.Holds(text) {
			_, p.file = file.Swap(ctx, text)
		}
		if p.file == nil && p.state == nil {
			p.state = writeState(path, state)
		}
		o.puts <- p
		o.rouse()
	}()
}

// wrote takes note of how a writing has ended.
func (o *Output) wrote(ctx context.Context, p put, now time.Time) {
	o.writing = false
	o.unsaved = o.unsaved || p.file != nil || p.state != nil
	if p.file != nil {
		if ctx.Err() == nil { // else asked to stop; the next start writes it
			o.refused(p.file, now)
		}
		return
	}
	o.fault("file", nil)
	o.fault("state", remembering(p.state))
	o.written, o.fileAt = p.sum, now.Add(o.o.FileInterval)
}

// refused notes why the file is not put in place.
func (o *Output) refused(err error, now time.Time) {
	o.fault("file", err)
	o.metrics.checks.Inc()
	o.fileAt = now.Add(max(o.o.FileInterval, o.o.Resync))
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
	if out, err := disk.Run(ctx, o.o.ReloadTimeout, o.o.Reload); err != nil {
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
	maps.DeleteFunc(o.s.Loaded, func(backend string, _ map[string]Loaded) bool { return !o.r.renders(backend) })
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
