package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// When pages are given back: once what the start needs is done, and then seldom, because what a program does day by day it would
// only map again.
const (
	startIsOver   = time.Minute
	givenBackEach = time.Hour
)

// GiveBackPages has the process map only those pages of its own program that it uses, until ctx ends. The kernel maps 16 pages around each one
// that is touched, so that after the start nearly all of the program is mapped, of which a daemon's daily work needs a quarter. What
// is given back stays in the page cache, where the kernel may take it when memory is short, and is mapped again when it is used.
func GiveBackPages(ctx context.Context, log *slog.Logger) error {
	wait := time.NewTimer(startIsOver)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
			if err := giveBackPages(); err != nil {
				log.Warn("pages of the program that are not used stay mapped", "error", err)
				return nil
			}
			wait.Reset(givenBackEach)
		}
	}
}

func giveBackPages() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	all, err := cleanMappings(f, self)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	for _, m := range all {
		// Only what is in the file as it is in memory is dropped, so that nothing can be lost.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("give back %x-%x of %s: %w", m.from, m.to, self, errno)
		}
	}
	return nil
}

type mapping struct{ from, to uintptr }

// cleanMappings are those of a file that can not be written and of which no page was ever changed in memory, as relocations or a debugger do.
// The format is that of proc(5), /proc/pid/smaps.
func cleanMappings(smaps io.Reader, file string) (all []mapping, err error) {
	var last *mapping // of the file, while it is not known to be clean
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) > 1 && strings.HasSuffix(f[0], ":"):
			if last != nil && f[0] == "Anonymous:" {
				if f[1] == "0" {
					all = append(all, *last)
				}
				last = nil
			}
		case len(f) >= 6 && strings.Join(f[5:], " ") == file && !strings.Contains(f[1], "w"):
			from, to, _ := strings.Cut(f[0], "-")
			a, errA := strconv.ParseUint(from, 16, 64)
			b, errB := strconv.ParseUint(to, 16, 64)
			if errA != nil || errB != nil || b < a {
				return nil, fmt.Errorf("%q is no mapping", lines.Text())
			}
			last = &mapping{uintptr(a), uintptr(b)}
		default:
			last = nil
		}
	}
	return all, lines.Err()
}
