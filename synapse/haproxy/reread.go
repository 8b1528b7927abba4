package haproxy

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// hasRead notes what a process that somebody else has started knows of the servers: what the file told it, which may be older than what is
// wanted now. Where the file may have changed since, nobody knows what that was, and only a reload will do.
func (o *Output) hasRead(p process, now time.Time) {
	text, err := fileBefore(o.o.File.Path, p.Started)
	if err != nil {
		o.o.Log.Warn("what haproxy has read is not known; it will be reloaded", "error", err)
	}
	maps.DeleteFunc(o.s.Loaded, func(backend string, _ map[string]Loaded) bool { return !o.r.renders(backend) })
	for _, s := range o.r.services {
		be := s.backendName()
		lines, was, is := linesOf(text, be), o.s.Loaded[be], map[string]Loaded{}
		names := slices.Collect(maps.Keys(was)) // none that is not ours
		for _, w := range s.specs {
			names = append(names, w.name)
		}
		for _, name := range names {
			if line, ok := lines[name]; ok {
				is[name] = loadedLine(name, line, now)
			} else if err != nil {
				is[name] = Loaded{Weight: lostWeight, Broken: true}
			}
		}
		for _, w := range s.specs {
			if !w.gone && lines[w.name] == strings.TrimSpace(w.line()) {
				is[w.name] = loadedFrom(w)
			}
		}
		o.s.Loaded[be] = is
	}
}

// fileBefore is what the file said at a time, in seconds, if it has not changed since.
func fileBefore(path string, at int64) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path) // after reading: what is put in its place meanwhile is newer
	if err != nil {
		return "", err
	}
	// A file that is renamed into its place has the time of that here, and that of its text in ModTime.
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Ctim.Sec >= at {
		return "", fmt.Errorf("%s may have changed after the process had read it", path)
	}
	return string(text), nil
}

// loadedLine is what a line of a server told, that was written by us.
func loadedLine(name, line string, now time.Time) Loaded {
	text, gone := strings.CutSuffix(strings.TrimPrefix(line, "server "+name+" "), " disabled")
	l := Loaded{Text: withoutAnyWeight(text), Weight: lastWeight(text)}
	if gone {
		l.Gone = now
	}
	return l
}
