package dev_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"glia/internal/dev"
)

// memory is a pool in memory whose answers a test may spoil.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	spoil   func(name string, content []byte) ([]byte, error)
}

func (m *memory) Put(name string, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[name] = content
	return nil
}

func (m *memory) Get(name string, buf []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, err := m.spoil(name, m.objects[name])
	return copy(buf, content), err
}

func (m *memory) Close() {}

func TestClient_CountsWhatItIsNotServed(t *testing.T) {
	t.Parallel()
	const third = "object-002"
	for _, tc := range []struct {
		name  string
		spoil func(content []byte) ([]byte, error) // of the third object
		want  string
		bad   bool
	}{
		{"all is well", func(c []byte) ([]byte, error) { return c, nil }, "5 reads of objects, each compared by checksum: 0 failed, 0 were wrong", false},
		{"an error", func([]byte) ([]byte, error) { return nil, errors.New("timed out") }, "1 failed, 0 were wrong", true},
		{"a bit", func(c []byte) ([]byte, error) { return append([]byte{c[0] ^ 1}, c[1:]...), nil }, "0 failed, 1 were wrong", true},
		{"too short", func(c []byte) ([]byte, error) { return c[1:], nil }, "0 failed, 1 were wrong", true},
		{"too long", func(c []byte) ([]byte, error) { return append(c[:len(c):len(c)], 0), nil }, "0 failed, 1 were wrong", true},
		{"nothing", func([]byte) ([]byte, error) { return nil, nil }, "0 failed, 1 were wrong", true},
	} {
		m := &memory{objects: map[string][]byte{}, spoil: func(name string, c []byte) ([]byte, error) {
			if name == third {
				return tc.spoil(c)
			}
			return c, nil
		}}
		words, err := dev.Meet(t.Context(), m, 5, 100)
		if !strings.Contains(words, tc.want) || (err != nil) != tc.bad {
			t.Errorf("%s: %q, %v, want %q", tc.name, words, err, tc.want)
		}
	}
}

func TestPlacement_TellsWhatHasMoved(t *testing.T) {
	t.Parallel()
	before := map[string][]int{"1.0": {1, 5, 9}, "1.1": {6, 2, 8}, "1.2": {0, 6, 10}}
	for _, tc := range []struct {
		name       string
		later      map[string][]int
		own, other string
	}{
		{"nothing", before, "0 PGs (0.0 MB)", "0 PGs (0.0 MB)"},
		{"order alone", map[string][]int{"1.0": {9, 1, 5}, "1.1": {6, 2, 8}, "1.2": {0, 6, 10}}, "0 PGs (0.0 MB)", "0 PGs (0.0 MB)"},
		{"off the OSD", map[string][]int{"1.0": {1, 5, 9}, "1.1": {7, 2, 8}, "1.2": {0, 4, 10}}, "2 PGs (2.0 MB)", "0 PGs (0.0 MB)"},
		{"others as well", map[string][]int{"1.0": {1, 4, 11}, "1.1": {7, 2, 8}, "1.2": {0, 6, 10}}, "1 PGs (1.0 MB)", "1 PGs (2.0 MB)"},
	} {
		if own, other := dev.Moved(before, tc.later, 6); own != tc.own || other != tc.other {
			t.Errorf("%s: %s and %s, want %s and %s", tc.name, own, other, tc.own, tc.other)
		}
	}
}
