// Package history keeps the values that disks were judged by: for each disk and quantity the points at which
// its value changed, for some weeks, in a bounded number of bytes.
//
// A value holds until the next point of its quantity. Each disk has two files, a present and a former one; the
// present one replaces the former when it is full, and begins with all values, so that what is dropped takes
// nothing newer with it. Every record has a checksum. What a crash or a damaged sector left unreadable is cut
// off when the disk is next written, from the first bad record on; other disks are not touched by it.
//
// It fails with the errors of the file system, and keeps nothing then. It is not synced: the loss of power may
// take the newest records, a kill does not.
package history

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"glia"
)

// Value is one quantity in one probe round.
type Value struct {
	What    string // with the thing that it is about: fs.errors[/data]
	Class   glia.EvidenceClass
	Value   float64
	Unknown bool // it could not be observed; Value is then 0
}

// Point is when a quantity took a value, until the next point.
type Point struct {
	At      time.Time
	Value   float64
	Unknown bool
}

// Series is the points of one quantity, oldest first.
type Series struct {
	What   string
	Class  glia.EvidenceClass
	Points []Point
}

// Options are what a store is made of.
type Options struct {
	Dir   string
	Keep  time.Duration // how long a point is kept
	Bytes int64         // of all files together; each disk gets an equal share, of at least minShare
	Log   *slog.Logger
}

const (
	minShare  = 8 << 10
	maxSeries = 200 // of one disk; more would be an error of a source
	// Temperatures move all the time. They are written when they have moved by this much.
	thermalStep = 2
)

// Store is the history of one host. It is safe for concurrent use; disks do not wait for each other.
type Store struct {
	Options
	mu    sync.Mutex
	disks map[string]*log
}

// Open prepares the folder and deletes what nobody has written to for longer than it is kept.
func Open(o Options) (*Store, error) {
	s := &Store{Options: o, disks: map[string]*log{}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the history: %w", err)
	}
	if err := s.prune(time.Now()); err != nil {
		return nil, err
	}
	return s, nil
}

// prune deletes the files that are too old to hold a point that is still kept.
func (s *Store) prune(now time.Time) error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return fmt.Errorf("folder of the history: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !now.After(info.ModTime().Add(s.Keep)) {
			continue
		}
		if ext := filepath.Ext(e.Name()); ext == present || ext == former {
			_ = os.Remove(filepath.Join(s.Dir, e.Name())) // tried again at the next start
		}
	}
	return nil
}

// The names of the files.
const (
	present = ".now"
	former  = ".old"
)

func (s *Store) path(serial, ext string) string {
	sum := sha256.Sum256([]byte(serial))
	return filepath.Join(s.Dir, hex.EncodeToString(sum[:10])+ext)
}

// log is the present file of one disk.
type log struct {
	mu     sync.Mutex
	loaded bool
	size   int64
	last   int64 // time of the newest record, Unix seconds
	ids    map[key]int
	series []known // by id
}

type key struct {
	class glia.EvidenceClass
	what  string
}

type known struct {
	key
	now cell
}

// cell is a value or the lack of one.
type cell struct {
	value   float64
	unknown bool
}

func (s *Store) log(serial string) (*log, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.disks[serial]
	if l == nil {
		l = &log{}
		s.disks[serial] = l
	}
	return l, max(minShare, s.Bytes/int64(2*len(s.disks)))
}

// Record writes what has changed since the last round of the disk. A quantity that had a value and is not in
// the round has none from now on. Values that can not be (NaN, infinite) count as not observed.
func (s *Store) Record(serial string, at time.Time, round []Value) error {
	l, share := s.log(serial)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded || !s.untouched(serial, l) {
		if err := s.load(serial, l); err != nil {
			return fmt.Errorf("history of %s: %w", serial, err)
		}
	}
	var b []byte
	if l.size >= share {
		if err := s.turn(serial, l); err != nil {
			return fmt.Errorf("history of %s: %w", serial, err)
		}
	}
	if l.size == 0 {
		b = l.begin(serial, at)
	}
	b = l.changes(b, at, round)
	if len(b) == 0 {
		return nil
	}
	n, err := appendFile(s.path(serial, present), b)
	l.size += int64(n)
	if err != nil {
		l.loaded = false // what was half written is cut off by the next load
		return fmt.Errorf("history of %s: %w", serial, err)
	}
	return nil
}

func appendFile(path string, b []byte) (int, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(b)
	return n, errors.Join(err, f.Close())
}

// untouched says whether the present file is as long as it was left: somebody may have removed or cut it. What would be added to it then
// could not be read.
func (s *Store) untouched(serial string, l *log) bool {
	info, err := os.Stat(s.path(serial, present))
	return err == nil && info.Size() == l.size || errors.Is(err, fs.ErrNotExist) && l.size == 0
}

// load reads the present file, and cuts off what can not be read.
func (s *Store) load(serial string, l *log) error {
	path := s.path(serial, present)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d := decode(b, serial, nil)
	if d.good < len(b) {
		s.Log.Warn("history is damaged; its newest part is given up", "serial", serial, "file", path, "kept_bytes", d.good, "lost_bytes", len(b)-d.good)
		if err := os.Truncate(path, int64(d.good)); err != nil {
			return err
		}
	}
	l.loaded, l.size, l.last, l.series = true, int64(d.good), d.last, d.series
	l.ids = map[key]int{}
	for id, k := range l.series {
		l.ids[k.key] = id
	}
	return nil
}

// turn makes the present file the former one. The next record begins a new one.
func (s *Store) turn(serial string, l *log) error {
	if err := os.Rename(s.path(serial, present), s.path(serial, former)); err != nil {
		return err
	}
	l.size = 0
	return nil
}

// changes appends records for what differs from the last round.
func (l *log) changes(b []byte, at time.Time, round []Value) []byte {
	seen := make([]bool, len(l.series))
	var points []point
	for _, v := range round {
		k, c := key{v.Class, v.What}, cell{v.Value, v.Unknown}
		if c.unknown || math.IsNaN(c.value) || math.IsInf(c.value, 0) {
			c = cell{unknown: true}
		}
		id, ok := l.ids[k]
		if !ok {
			if len(l.series) >= maxSeries || len(v.What) > maxText || len(v.Class) > maxText || c.unknown {
				continue
			}
			id = len(l.series)
			l.ids[k] = id
			l.series = append(l.series, known{k, cell{unknown: true}})
			seen = append(seen, false)
			b = frameDefine(b, k)
		}
		if seen[id] { // of several in one round, the worst is told
			if p := slices.IndexFunc(points, func(p point) bool { return p.id == id }); p >= 0 && !c.unknown && c.value > points[p].value {
				points[p].cell = c
			}
			continue
		}
		seen[id] = true
		if differs(v.Class, l.series[id].now, c) {
			points = append(points, point{id, c})
		}
	}
	for id, k := range l.series {
		if !seen[id] && !k.now.unknown {
			points = append(points, point{id, cell{unknown: true}})
		}
	}
	if len(points) == 0 {
		return b
	}
	for _, p := range points {
		l.series[p.id].now = p.cell
	}
	return l.points(b, at, points)
}

func differs(class glia.EvidenceClass, a, b cell) bool {
	if class == glia.Thermal && !a.unknown && !b.unknown {
		return math.Abs(a.value-b.value) >= thermalStep || (a.value > 0) != (b.value > 0)
	}
	return a != b
}

// begin is the head of a new file: whose it is, and all values.
func (l *log) begin(serial string, at time.Time) []byte {
	b := frameHead(nil, serial)
	l.last = 0
	var points []point
	for id, k := range l.series {
		b = frameDefine(b, k.key)
		if !k.now.unknown {
			points = append(points, point{id, k.now})
		}
	}
	if len(points) > 0 {
		b = l.points(b, at, points)
	}
	return b
}

func (l *log) points(b []byte, at time.Time, points []point) []byte {
	now := min(max(at.Unix(), 0), maxTime)
	b = framePoints(b, now-l.last, points)
	l.last = now
	return b
}

// Read tells the series of a disk from a time on, by quantity. The value that a quantity had at that time is
// its first point, at that time. A disk without history has no series, which is no error; what can not be read
// is left out.
func (s *Store) Read(serial string, since time.Time) ([]Series, error) {
	l, _ := s.log(serial)
	l.mu.Lock()
	defer l.mu.Unlock()
	if oldest := time.Now().Add(-s.Keep); since.Before(oldest) {
		since = oldest
	}
	all := map[key][]Point{}
	for _, ext := range []string{former, present} {
		b, err := os.ReadFile(s.path(serial, ext))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("history of %s: %w", serial, err)
		}
		decode(b, serial, func(k key, at int64, c cell) {
			all[k] = append(all[k], Point{At: time.Unix(at, 0).UTC(), Value: c.value, Unknown: c.unknown})
		})
	}
	var out []Series
	for k, points := range all {
		if points = from(points, since.UTC().Truncate(time.Second)); len(points) > 0 {
			out = append(out, Series{What: k.what, Class: k.class, Points: points})
		}
	}
	slices.SortFunc(out, func(a, b Series) int {
		return cmp.Or(strings.Compare(a.What, b.What), strings.Compare(string(a.Class), string(b.Class)))
	})
	return out, nil
}

// from cuts what was before, but for the value that held then, and what repeats the point before it.
func from(points []Point, since time.Time) []Point {
	slices.SortStableFunc(points, func(a, b Point) int { return a.At.Compare(b.At) }) // the clock may have slipped
	var out []Point
	for _, p := range points {
		if p.At.Before(since) {
			p.At = since
			out = out[:0]
		}
		if n := len(out); n > 0 && out[n-1].Value == p.Value && out[n-1].Unknown == p.Unknown {
			continue
		}
		out = append(out, p)
	}
	if len(out) == 1 && out[0].Unknown {
		return nil // nothing was known of it in all that time
	}
	return out
}
