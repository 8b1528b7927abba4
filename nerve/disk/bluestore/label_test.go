package bluestore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/nerve/disk/bluestore"
)

// The files are the first blocks of the three devices of one OSD, as ceph-osd --mkfs of 16.2.15 (Debian 12)
// wrote them; ceph-bluestore-tool show-label told what is expected here. The key in it is of no cluster.
const (
	goldenOSD   = "2f0ab2fd-2bd0-4a6a-9f1e-6f6a3f6d7007"
	goldenFSID  = "6f1c1de2-54a4-4ab2-9f2b-0a3cf7b1a001"
	goldenBorn  = "2026-11-21T08:46:49.456515Z"
	goldenMagic = "ceph osd volume v026"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecode_ReadsWhatMkfsWrote(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, description string
		size              uint64
		meta              map[string]string
		key, finished     bool
	}{
		{"main", bluestore.Main, 2 << 30, map[string]string{"whoami": "7", "ceph_fsid": goldenFSID, "magic": goldenMagic}, true, true},
		{"db", bluestore.DB, 1 << 30, nil, false, false},
		{"wal", bluestore.WAL, 512 << 20, nil, false, false},
	} {
		l, err := bluestore.Decode(golden(t, c.file))
		if err != nil {
			t.Fatalf("%s: %v", c.file, err)
		}
		if l.OSD != goldenOSD || l.Size != c.size || l.Description != c.description || l.HasKey != c.key || l.Finished() != c.finished {
			t.Errorf("%s: got %+v", c.file, l)
		}
		for k, v := range c.meta {
			if l.Meta[k] != v {
				t.Errorf("%s: %s is %q, want %q", c.file, k, l.Meta[k], v)
			}
		}
		if _, told := l.Meta["osd_key"]; told {
			t.Errorf("%s: the key is handed on", c.file)
		}
		if c.file == "main" {
			if born := l.Born.Truncate(time.Microsecond).Format(time.RFC3339Nano); born != goldenBorn {
				t.Errorf("born %s, want %s", born, goldenBorn)
			}
		}
	}
}

func TestDecode_RefusesWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	change := func(at int, b byte) func([]byte) []byte {
		return func(block []byte) []byte { block[at] = b; return block }
	}
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }, "no BlueStore label"},
		{"nothing", func([]byte) []byte { return nil }, "no BlueStore label"},
		{"another magic", change(3, 'x'), "no BlueStore label"},
		{"half of it", func(b []byte) []byte { return b[:100] }, "cut off"},
		{"one bit", change(90, 0xff), "checksum"},
		{"a newer format", change(61, 3), "only readers of version 3"},
		{"a length beyond the block", change(64, 0xff), "cut off"},
	} {
		_, err := bluestore.Decode(c.change(bytes.Clone(golden(t, "main"))))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if looks := errors.Is(err, bluestore.ErrNoLabel); looks != (c.want == "no BlueStore label") {
			t.Errorf("%s: ErrNoLabel is %v", c.name, looks)
		}
	}
}

// Half-made: mkfs was killed before it wrote the last keys.
func TestLabel_IsNotFinishedWithoutReady(t *testing.T) {
	t.Parallel()
	l, err := bluestore.Decode(golden(t, "main"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"ready", "mkfs_done"} {
		kept := l.Meta[key]
		delete(l.Meta, key)
		if l.Finished() {
			t.Errorf("finished without %s", key)
		}
		l.Meta[key] = kept
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"main", "db", "wal"} {
		f.Add(golden(f, name))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		// As it is, and with a checksum that is right, so that what is behind it is reached.
		for _, b := range [][]byte{block, sealed(block)} {
			l, err := bluestore.Decode(b)
			if (err == nil) == (l.OSD == "") {
				t.Errorf("label %+v with error %v", l, err)
			}
		}
	})
}

func sealed(block []byte) []byte {
	const body = 66 // preamble of 60, versions and length
	if len(block) < body {
		return block
	}
	end := uint64(body) + uint64(binary.LittleEndian.Uint32(block[body-4:]))
	if end+4 > uint64(len(block)) {
		return block
	}
	out := bytes.Clone(block)
	binary.LittleEndian.PutUint32(out[end:], ^crc32.Checksum(out[:end], crc32.MakeTable(crc32.Castagnoli)))
	return out
}
