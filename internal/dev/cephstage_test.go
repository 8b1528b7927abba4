package dev_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"glia/internal/dev"
)

// What fails of a disk is behind all that is on it, but zeros are nothing: a burn-in leaves them up to the end.
func TestUsedUntil_IsBehindAllThatIsNotZero(t *testing.T) {
	t.Parallel()
	const mib, size = 1 << 20, 512 << 20
	block := func(b byte) []byte { return bytes.Repeat([]byte{b}, mib) }
	for _, tt := range []struct {
		name   string
		blocks map[int64]byte // what each block has that was written, by its place in MiB
		want   int64
	}{
		{"nothing was ever written", nil, 64 * mib},
		{"only zeros were", map[int64]byte{0: 0, 511: 0}, 64 * mib},
		{"data", map[int64]byte{0: 1, 7: 1}, 72 * mib},
		{"zeros right behind data, and at the end", map[int64]byte{0: 1, 7: 1, 8: 0, 9: 0, 511: 0}, 72 * mib},
		{"data at the end", map[int64]byte{511: 1}, 576 * mib},
	} {
		file := filepath.Join(t.TempDir(), "disk.img")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		for at, b := range tt.blocks {
			if _, err := f.WriteAt(block(b), at*mib); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := dev.UsedUntil(file); err != nil || got != tt.want {
			t.Errorf("%s: %d MiB, %v; want %d", tt.name, got/mib, err, tt.want/mib)
		}
	}
}
