package hand

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"glia/nerve/disk/selftest"
)

// keepFinished is how long the outcome of an act is kept: longer than any case stays open.
const keepFinished = 90 * 24 * time.Hour

// The events of an act. Begun is written before it, done or failed after it.
const (
	begun  = "begun"
	done   = "done"
	failed = "failed"
)

// entry is one line of the journal.
type entry struct {
	At    time.Time `json:"at"`
	Event string    `json:"event"`
	Key   string    `json:"key"`
	Epoch uint64    `json:"epoch"`
	subject
	Commands []string `json:"commands,omitempty"`
	Output   string   `json:"output,omitempty"`
	Reason   string   `json:"reason,omitempty"` // why it failed

	Counts []selftest.Count `json:"counts,omitempty"` // of the disk before a burn-in
	Stale  []string         `json:"stale,omitempty"`  // uuids of OSDs that failed attempts have left on the disk
}

// record is what the journal says of one key: its last begun, and its end if there is one.
type record struct {
	begun entry
	end   *entry // nil: running, or cut short by a crash
}

// journal is the audit log of the hand: a file of JSON lines that only grows while the nerve runs.
// An entry counts once it is on the medium. It is safe for concurrent use.
//
// After a write whose outcome is not known, the journal takes no more entries: without an audit log
// there are no acts.
type journal struct {
	path string

	write  sync.Mutex // held over I/O: the entries of all acts form one sequence
	file   *os.File
	size   int64
	broken error

	mu      sync.Mutex
	records map[string]record
}

// openJournal reads the journal, cuts off a last line that a crash left incomplete, and drops acts
// that ended more than keepFinished ago. Anything else that it does not understand is an error.
func openJournal(dir string, now time.Time) (*journal, error) {
	j := &journal{path: filepath.Join(dir, "journal")}
	data, err := os.ReadFile(j.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("journal: %w", err)
	}
	entries, whole, err := parseJournal(data)
	if err != nil {
		return nil, fmt.Errorf("journal: %s %w; the hand takes no orders until a person has repaired it or moved it away", j.path, err)
	}
	j.records = recordsOf(entries)
	kept, dropped := bytes.Buffer{}, false
	for i, line := range bytes.SplitAfter(data[:whole], []byte("\n"))[:len(entries)] {
		r := j.records[entries[i].Key]
		if r.end != nil && now.Sub(r.end.At) > keepFinished {
			dropped = true
			continue
		}
		kept.Write(line)
	}
	for key, r := range j.records {
		if r.end != nil && now.Sub(r.end.At) > keepFinished {
			delete(j.records, key)
		}
	}
	if dropped || whole < len(data) {
		if err := writeDurably(j.path, kept.Bytes()); err != nil {
			return nil, fmt.Errorf("journal: compact: %w", err)
		}
	}
	j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.size = int64(kept.Len())
	if err := syncDir(dir); err != nil {
		j.file.Close()
		return nil, fmt.Errorf("journal: %w", err)
	}
	return j, nil
}

// parseJournal reads the entries of a journal and tells how many bytes of it are whole lines.
// A rest without a newline is a write that a crash cut short, so that nothing was done on its account.
func parseJournal(data []byte) (entries []entry, whole int, err error) {
	last := map[string]entry{}
	for n := 1; ; n++ {
		line, _, complete := bytes.Cut(data[whole:], []byte("\n"))
		if !complete {
			return entries, whole, nil
		}
		var e entry
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&e); err != nil {
			return nil, 0, fmt.Errorf("line %d is not an entry: %w", n, err)
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return nil, 0, fmt.Errorf("line %d has something after its entry", n)
		}
		before, known := last[e.Key]
		if why := e.misfit(before, known); why != "" {
			return nil, 0, fmt.Errorf("line %d %s", n, why)
		}
		last[e.Key] = e
		entries = append(entries, e)
		whole += len(line) + 1
	}
}

// misfit says why an entry can not follow the one before it of the same key; empty if it can.
func (e entry) misfit(before entry, known bool) string {
	switch {
	case e.Key == "" || e.Epoch == 0 || e.At.IsZero() || e.Verb == "" || e.Serial == "" || e.Place == "":
		return "lacks key, epoch, time, verb, serial or place"
	case e.Event != begun && e.Event != done && e.Event != failed:
		return fmt.Sprintf("has the event %q", e.Event)
	case known && before.subject != e.subject:
		return fmt.Sprintf("is about another act than the lines before it with the key %s", e.Key)
	case e.Event == begun && known && before.Event == done:
		return fmt.Sprintf("begins %s again, which was done", e.Key)
	case e.Event != begun && (!known || before.Event != begun):
		return fmt.Sprintf("ends %s, which was not begun", e.Key)
	}
	return ""
}

func recordsOf(entries []entry) map[string]record {
	out := map[string]record{}
	for _, e := range entries {
		out[e.Key] = out[e.Key].with(e)
	}
	return out
}

func (r record) with(e entry) record {
	if e.Event == begun {
		return record{begun: e}
	}
	r.end = &e
	return r
}

// Lookup tells what the journal says of a key.
func (j *journal) Lookup(key string) (record, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, ok := j.records[key]
	return r, ok
}

// stands says whether an OSD that is found on the disk of an order was made by it and never told to have failed. What a
// failed attempt has left is none also when a later one was cut short before it had done away with it.
func (r record) stands(uuid string) bool {
	return !(r.end != nil && r.end.Event == failed) && !slices.Contains(r.begun.Stale, uuid)
}

// Newest is the highest epoch of any entry, 0 without one.
func (j *journal) Newest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	var newest uint64
	for _, r := range j.records {
		newest = max(newest, r.begun.Epoch)
		if r.end != nil {
			newest = max(newest, r.end.Epoch)
		}
	}
	return newest
}

// Append makes an entry durable. After an error the entry is not in the journal, or no further one
// will be.
func (j *journal) Append(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	line = append(line, '\n')

	j.write.Lock()
	defer j.write.Unlock()
	if j.broken != nil {
		return fmt.Errorf("journal: no entry since %w; restart nerve once the cause is gone", j.broken)
	}
	if _, err := j.file.WriteAt(line, j.size); err != nil {
		if cut := j.file.Truncate(j.size); cut != nil {
			j.broken = errors.Join(err, cut)
		}
		return fmt.Errorf("journal: %w", err)
	}
	// After a failed fsync the kernel may have dropped the data and report success the next time.
	if err := j.file.Sync(); err != nil {
		j.broken = err
		return fmt.Errorf("journal: %w", err)
	}
	j.size += int64(len(line))

	j.mu.Lock()
	j.records[e.Key] = j.records[e.Key].with(e)
	j.mu.Unlock()
	return nil
}

func (j *journal) Close() error {
	j.write.Lock()
	defer j.write.Unlock()
	if j.broken == nil {
		j.broken = errors.New("the hand was closed")
	}
	return j.file.Close()
}
