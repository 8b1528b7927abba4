package zookeeper_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"glia/registry/zookeeper"
)

const (
	greeting = "\x00\x00\x00\x08" + "\x00\x00\x00\x00" + "\x00\x00\x3a\x98" // 15,000 ms
	answer   = "\x00\x00\x00\x03abc"
	// A WatcherEvent: request -1, no transaction, no error, data changed (3), connected (3), the path.
	told = "\x00\x00\x00\x1e" + "\xff\xff\xff\xff" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00" +
		"\x00\x00\x00\x03" + "\x00\x00\x00\x03" + "\x00\x00\x00\x02/a"
)

func TestPackets_TellEachWatchBeforeTheBreak(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sent, read string }{
		"whole answers":              {greeting + answer, greeting + answer + told},
		"cut within a length":        {greeting + answer + "\x00\x00", greeting + answer + told},
		"cut within an answer":       {greeting + answer[:5], greeting + told},
		"cut within the greeting":    {greeting[:9], ""},
		"expired session":            {"\x00\x00\x00\x08" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00", "\x00\x00\x00\x08" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"},
		"an answer of 4 GB":          {greeting + "\xff\xff\xff\xff", greeting + told},
		"a web server, not this one": {"HTTP/1.1 400 Bad Request\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var agreed time.Duration
			got, err := io.ReadAll(zookeeper.Packets(iotest.OneByteReader(bytes.NewBufferString(c.sent)), func(d time.Duration) { agreed = d }, "/a"))
			if string(got) != c.read {
				t.Errorf("read %q, want %q", got, c.read)
			}
			if name == "an answer of 4 GB" && (err == nil || errors.Is(err, io.EOF)) {
				t.Error("an answer without end was taken")
			}
			if bytes.HasPrefix(got, []byte(greeting)) != (agreed == 15*time.Second) {
				t.Errorf("the session timeout was told as %v", agreed)
			}
		})
	}
}

func FuzzPackets(f *testing.F) {
	f.Add([]byte(greeting + answer))
	f.Add([]byte(greeting + "\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		got, _ := io.ReadAll(zookeeper.Packets(bytes.NewReader(sent), func(time.Duration) {}))
		if !bytes.HasPrefix(sent, got) {
			t.Fatalf("read %q of %q", got, sent)
		}
		for len(got) > 0 {
			if len(got) < 4 || uint32(len(got)-4) < binary.BigEndian.Uint32(got) {
				t.Fatalf("a part of an answer was handed on: %q", got)
			}
			got = got[4+binary.BigEndian.Uint32(got):]
		}
	})
}
