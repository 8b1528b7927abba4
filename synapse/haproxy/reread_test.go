package haproxy_test

import (
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"glia/synapse/disk"
	"glia/synapse/service"
)

// started is when HAProxy's process was, in seconds.
func (b *bed) started() int64 {
	m := regexp.MustCompile(`(?m)^Start_time_sec: (\d+)`).FindStringSubmatch(b.runtime("show info"))
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return n
}

// restart gives HAProxy another process, as a boot of the host does, once the file is older than that in any clock.
func (b *bed) restart() {
	b.t.Helper()
	info, err := os.Stat(b.o.File.Path)
	if err != nil {
		b.t.Fatal(err)
	}
	was := b.pid()
	b.until("the master is done with the reload before, and loses no signal", func() bool {
		c, err := net.Dial("unix", b.socket+".master")
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(c, "show proc\n")
		said := make([]byte, 4096)
		n, _ := c.Read(said) // it does not close the connection
		return strings.Contains(string(said[:n]), "\n"+strings.TrimPrefix(was, "Pid: ")+" ")
	})
	b.until("the second of the file is over", func() bool { return time.Now().Unix() > info.Sys().(*syscall.Stat_t).Ctim.Sec })
	if out, err := disk.Run(b.t.Context(), time.Minute, b.o.Reload); err != nil {
		b.t.Fatal(err, out)
	}
	b.until("HAProxy is another process", func() bool {
		now := b.pid()
		return now != "" && now != was && b.started() > info.Sys().(*syscall.Stat_t).Ctim.Sec
	})
}

// While synapse was away HAProxy has read its old file, and what is wanted now is something else.
func TestOutput_TellsWhatAnotherProcessHasNotRead(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	b.o.ReloadTimeout = 10 * time.Second // for the next start: a master that was asked just before loses the signal
	one := web(t, "one")
	b.out.Set("web", []service.Backend{one})
	b.until("it serves", b.reaches("one"))
	b.until("all is written, and noted", func() bool {
		return strings.Contains(b.file(), "server one_") && strings.Contains(b.log.String(), "haproxy reloaded")
	})
	weighs := func(n string) func() bool {
		return func() bool {
			return regexp.MustCompile(` one_\S+ \S+ \d+ \d+ ` + n + ` `).MatchString(b.runtime("show servers state web"))
		}
	}
	away := func(change func()) (pid string) {
		b.stop()
		change()
		pid = b.pid()
		b.start()
		b.out.Set("web", []service.Backend{one})
		return pid
	}

	pid := away(func() { b.restart(); one.Options = "weight 7" })
	b.until("it has the weight", weighs("7"))
	b.until("the file has it", func() bool { return strings.Contains(b.file(), "weight 7") })
	if b.pid() != pid { // which would come before the file
		t.Errorf("HAProxy was reloaded for a weight\n%s", b.log)
	}
	pid = away(func() { b.restart(); one.Options = "weight 7 slowstart 2s" })
	b.until("HAProxy is reloaded for other options", func() bool { now := b.pid(); return now != "" && now != pid && b.reaches("one")() })
	b.until("that is noted", func() bool {
		return strings.Contains(b.log.String(), "options of server web/one_") && strings.Contains(b.file(), "slowstart 2s")
	})

	// What a process has read that is older than the file nobody knows.
	pid = away(func() {
		b.restart()
		if err := os.WriteFile(b.o.File.Path, []byte(b.file()), 0o640); err != nil {
			t.Fatal(err)
		}
	})
	b.until("HAProxy is reloaded to be sure", func() bool { now := b.pid(); return now != "" && now != pid && b.reaches("one")() })
}
