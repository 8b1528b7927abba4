package hand

import (
	"context"
	"regexp"
	"strings"
	"unicode/utf8"
)

// keepOutput is how much of a command's output is kept, in bytes: its end, where the error is.
const keepOutput = 4 << 10

// System is the way by which the hand changes anything outside its own state directory, but for the
// samples of a burn-in and the locate lights, which it writes itself. What merely looks (inventory,
// mount table, superblocks) does not go through it.
type System interface {
	// Run runs a command without a shell and with exactly this environment, and waits for it. It
	// returns the end of what the command printed on both streams, also with an error. When ctx ends,
	// the command is killed with all its process group.
	Run(ctx context.Context, argv, env []string) (output string, err error)

	// Unmount unmounts what is mounted on a directory; an error wraps the kernel's errno. With detach
	// the mount is taken out of the tree at once and ends when its last user does. When ctx ends
	// before the kernel does, the call goes on and a later one for the same directory waits for it.
	Unmount(ctx context.Context, target string, detach bool) error

	// MakeDir makes one directory with mode 0755.
	MakeDir(path string) error

	// Partition writes a GPT with these partitions, one after the other from the first MiB on, and has the
	// kernel know them. What is within the partitions stays as it is; the same table may be written again.
	Partition(device string, parts []Partition) error
}

// tail keeps the end of what is written to it.
type tail struct {
	buf []byte
	cut bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - keepOutput; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
		t.cut = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	b := t.buf
	for t.cut && len(b) > 0 && !utf8.RuneStart(b[0]) {
		b = b[1:]
	}
	s := strings.TrimSpace(text(string(b)))
	if t.cut {
		s = "…" + s
	}
	return s
}

// text makes valid UTF-8 of what commands and disks may say, as protobuf and JSON demand.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

var bareWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// commandLine writes a command as one would type it into a shell. It is for people and for the
// journal; nothing is run from it.
func commandLine(argv ...string) string {
	words := make([]string, len(argv))
	for i, w := range argv {
		if !bareWord.MatchString(w) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}
