package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// Maintenance is what a person has said about a service, or about all of the host: until its end it is not announced, or announced as
// draining.
type Maintenance struct {
	Service string    `json:"service"` // empty: all services of the host
	Drain   bool      `json:"drain"`   // it keeps the clients that it has
	Person  string    `json:"person"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
}

// Words tell it in one line.
func (m Maintenance) Words() string {
	what := "maintenance"
	if m.Drain {
		what = "draining"
	}
	return fmt.Sprintf("%s by %s until %s: %s", what, m.Person, m.Until.UTC().Format("2006-01-02 15:04 MST"), m.Reason)
}

// longestMaintenance is how long one may last, so that none is forgotten.
const longestMaintenance = 30 * 24 * time.Hour

// Book is the list of maintenances, kept in a file. It guarantees that one is on disk before it is in force, and that it ends by itself. It
// is safe for concurrent use.
type Book struct {
	path string

	mu  sync.Mutex
	all []Maintenance // at most one for each service
}

// OpenBook reads the file, which need not be there. A book that can not be read is an error: services would be announced that must not be.
func OpenBook(path string) (*Book, error) {
	b := &Book{path: path}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &b.all)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read which services are in maintenance: %w; if nobody can mend %s, remove it: all of them are announced then", err, path)
	}
	return b, nil
}

// Put begins a maintenance, in the place of the one that the service had.
func (b *Book) Put(m Maintenance) error {
	if err := m.check(); err != nil {
		return err
	}
	return b.change(m.Since, func(all []Maintenance) []Maintenance {
		return append(slices.DeleteFunc(all, func(o Maintenance) bool { return o.Service == m.Service }), m)
	})
}

func (m Maintenance) check() error {
	switch length := m.Until.Sub(m.Since); {
	case strings.TrimSpace(m.Reason) == "" || strings.TrimSpace(m.Person) == "":
		return errors.New("a maintenance needs a person and a reason")
	case length <= 0:
		return errors.New("a maintenance must end after it begins")
	case length > longestMaintenance:
		return fmt.Errorf("a maintenance of %s is too long: want %s at most", length.Round(time.Minute), longestMaintenance)
	}
	return nil
}

// End ends the maintenance of a service, or with an empty name that of the host. Ok is false when there is none.
func (b *Book) End(service string, now time.Time) (ended Maintenance, ok bool, err error) {
	err = b.change(now, func(all []Maintenance) []Maintenance {
		i := slices.IndexFunc(all, func(o Maintenance) bool { return o.Service == service })
		if i < 0 {
			return all
		}
		ended, ok = all[i], true
		return slices.Delete(all, i, i+1)
	})
	return ended, ok, err
}

// change writes the list as it should be, without those that have ended, and only then goes by it.
func (b *Book) change(now time.Time, do func([]Maintenance) []Maintenance) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := do(slices.DeleteFunc(slices.Clone(b.all), func(m Maintenance) bool { return !now.Before(m.Until) }))
	data, err := json.Marshal(next)
	if err == nil {
		err = renameio.WriteFile(b.path, data, 0o600, renameio.WithTempDir(filepath.Dir(b.path)))
	}
	if err != nil {
		return fmt.Errorf("note the maintenance: %w", err)
	}
	b.all = next
	return nil
}

// Of is what is in force for a service; nil for nothing. What keeps it from being announced wins over what lets it drain, and then its own
// over that of the host.
func (b *Book) Of(service string, now time.Time) *Maintenance {
	b.mu.Lock()
	defer b.mu.Unlock()
	var best *Maintenance
	for i := range b.all {
		m := b.all[i]
		if m.Service != "" && m.Service != service || !now.Before(m.Until) {
			continue
		}
		if best == nil || best.Drain && !m.Drain || best.Drain == m.Drain && m.Service != "" {
			best = &m
		}
	}
	return best
}

// All are those in force, by service.
func (b *Book) All(now time.Time) []Maintenance {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(b.all), func(m Maintenance) bool { return !now.Before(m.Until) })
	slices.SortFunc(out, func(x, y Maintenance) int { return strings.Compare(x.Service, y.Service) })
	return out
}
