package probe_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"glia/nerve/disk/probe"
)

func TestTestFile_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := probe.TestFile{Seq: rapid.Uint64().Draw(t, "seq"), Serial: string(rapid.SliceOfN(rapid.Byte(), 0, 256).Draw(t, "serial"))}
		b := f.Encode()
		got, err := probe.DecodeTestFile(b)
		if err != nil || got != f {
			t.Fatalf("%+v, %v; want %+v", got, err, f)
		}
		b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := probe.DecodeTestFile(b); err == nil {
			t.Fatalf("one turned bit was not seen: %+v", got)
		}
	})
}

func TestTestFile_WritingsDifferInEverySector(t *testing.T) {
	t.Parallel()
	a, b := probe.TestFile{Seq: 7}.Encode(), probe.TestFile{Seq: 8}.Encode()
	for at := 0; at < len(a); at += 512 {
		if bytes.Equal(a[at:at+512], b[at:at+512]) {
			t.Errorf("the sector at byte %d is the same in two writings", at)
		}
	}
}

func TestTestFile_CutsLongSerials(t *testing.T) {
	t.Parallel()
	got, err := probe.DecodeTestFile(probe.TestFile{Serial: strings.Repeat("x", 9999)}.Encode())
	if err != nil || got.Serial != strings.Repeat("x", 256) {
		t.Errorf("%d bytes, %v", len(got.Serial), err)
	}
}

func FuzzDecodeTestFile(f *testing.F) {
	f.Add(probe.TestFile{Seq: 1, Serial: "S-1"}.Encode())
	f.Add(make([]byte, probe.TestFileSize))
	f.Add([]byte("gliaprb1"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := probe.DecodeTestFile(b)
		if err == nil && !bytes.Equal(got.Encode(), b) {
			t.Errorf("%x was taken for %+v", b, got)
		}
	})
}
