package daemon_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"glia/config"
	"glia/internal/daemon"
	"glia/internal/testbed"
)

// TestMain lets this binary be the daemon that the tests below start and send signals to.
func TestMain(m *testing.M) {
	if mode := os.Getenv("GLIA_TEST_DAEMON"); mode != "" {
		os.Exit(daemon.Main(daemon.Program[config.Nerve]{
			Name: "nerve", Path: "/nonexistent/nerve.toml", Load: config.LoadNerve,
			Log: func(n config.Nerve) config.Log { return n.Log },
			Run: func(ctx context.Context, p *daemon.Process[config.Nerve]) error { return runFor(ctx, p, mode) },
		}))
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runFor(ctx context.Context, p *daemon.Process[config.Nerve], mode string) error {
	p.OnReload(func(n config.Nerve) error {
		fmt.Println("reloaded", n.Judge.Fall)
		p.Log.Debug("fine detail")
		if n.Judge.Fall == 99 {
			return errors.New("99 can not be put into force")
		}
		return nil
	})
	switch mode {
	case "fail":
		return errors.New("open database: no space")
	case "watchdog":
		go p.Watchdog(ctx, func() error { return nil })
	}
	p.Ready()
	fmt.Println("running", p.Config.Judge.Fall)
	<-ctx.Done()
	fmt.Println("ending")
	if mode == "deaf" {
		select {}
	}
	return ctx.Err()
}

// process is a started daemon.
type process struct {
	*exec.Cmd
	t      *testing.T
	out    *bufio.Reader
	stderr testbed.Log
}

func start(t *testing.T, mode string, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), t: t}
	p.Env = append(append(os.Environ(), "GLIA_TEST_DAEMON="+mode), env...)
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out, p.Stderr = bufio.NewReader(out), &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(30*time.Second, func() { _ = p.Process.Kill() })
	t.Cleanup(func() {
		kill.Stop()
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	return p
}

// expect reads the next line of the standard output.
func (p *process) expect(want string) {
	p.t.Helper()
	if line, err := p.out.ReadString('\n'); line != want+"\n" {
		p.t.Fatalf("got %q (%v), want %q; standard error:\n%s", line, err, want, &p.stderr)
	}
}

func (p *process) send(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and gives the exit code and the rest of the standard output.
func (p *process) exit() (int, string) {
	rest, _ := io.ReadAll(p.out)
	_ = p.Wait()
	return p.ProcessState.ExitCode(), string(rest)
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "nerve.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestMain_AnswersFlagsWithoutRunning(t *testing.T) {
	t.Parallel()
	good, bad := configFile(t, "host = \"h\"\n"), configFile(t, "hots = 1\nmode = 2\n")
	for _, tt := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"version", []string{"-version"}, daemon.ExitOK, "nerve dev\n", ""},
		{"good configuration", []string{"-check-config", "-config", good}, daemon.ExitOK, good + ": ok\n", ""},
		{"bad configuration", []string{"-config", bad}, daemon.ExitUsage, "", bad + ":1:1: hots: unknown key; did you mean \"host\"?\n" + bad + ":2:1: mode: unknown key\n"},
		{"no configuration", nil, daemon.ExitUsage, "", "/nonexistent/nerve.toml: no such file or directory\n"},
		{"argument", []string{"start"}, daemon.ExitUsage, "", "nerve: \"start\" is not understood; the flags are -config FILE, -check-config and -version\n"},
		{"unknown flag", []string{"-x"}, daemon.ExitUsage, "", "flag provided but not defined: -x\n"},
		{"help", []string{"-h"}, daemon.ExitOK, "", "Usage of nerve:\n"},
	} {
		p := start(t, "wait", nil, tt.args...)
		code, stdout := p.exit()
		if code != tt.code || stdout != tt.stdout || !strings.HasPrefix(p.stderr.String(), tt.stderr) {
			t.Errorf("%s: got %d %q %q", tt.name, code, stdout, &p.stderr)
		}
	}
}

func TestMain_FirstSignalEndsAndSecondEndsNow(t *testing.T) {
	t.Parallel()
	path := configFile(t, "judge.fall = 5\n")
	p := start(t, "wait", nil, "-config", path)
	p.expect("running 5")
	p.send(syscall.SIGTERM)
	if code, out := p.exit(); code != daemon.ExitOK || out != "ending\n" {
		t.Errorf("first signal: got %d %q, %s", code, out, &p.stderr)
	}

	p = start(t, "deaf", nil, "-config", path)
	p.expect("running 5")
	p.send(syscall.SIGINT)
	p.expect("ending")
	p.send(syscall.SIGTERM)
	if code, _ := p.exit(); code != daemon.ExitError || !strings.Contains(p.stderr.String(), "second signal") {
		t.Errorf("second signal: got %d, %s", code, &p.stderr)
	}
}

func TestMain_ReportsAnErrorOnce(t *testing.T) {
	t.Parallel()
	p := start(t, "fail", nil, "-config", configFile(t, "log.format = \"json\"\n"))
	code, _ := p.exit()
	if n := strings.Count(p.stderr.String(), "open database: no space"); code != daemon.ExitError || n != 1 {
		t.Errorf("got %d, told %d times: %s", code, n, &p.stderr)
	}
}

func TestMain_ReloadKeepsTheLastGoodConfiguration(t *testing.T) {
	t.Parallel()
	path := configFile(t, "judge.fall = 5\n")
	p := start(t, "wait", nil, "-config", path)
	p.expect("running 5")
	rewrite := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.send(syscall.SIGHUP)
	}
	logged := func(text string) {
		t.Helper()
		waitFor(t, func() bool { return strings.Contains(p.stderr.String(), text) })
	}
	rewrite("judge.fall = 0\nhots = 1\n")
	logged(":1:7: judge.fall: 0 is not possible")
	logged(":2:1: hots: unknown key")
	rewrite("judge.fall = 7\nlog.level = \"debug\"\n")
	p.expect("reloaded 7") // and not 0
	logged("fine detail")
	rewrite("judge.fall = 99\n")
	p.expect("reloaded 99")
	logged("99 can not be put into force")
	if strings.Count(p.stderr.String(), "configuration reloaded") != 1 {
		t.Errorf("one that is not in force is called reloaded: %s", &p.stderr)
	}
	p.send(syscall.SIGTERM)
	if code, out := p.exit(); code != daemon.ExitOK || out != "ending\n" {
		t.Errorf("got %d %q", code, out)
	}
}

func TestMain_TellsTheServiceManager(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "glia") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	if err := manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	told := func(want string) {
		t.Helper()
		buf := make([]byte, 256)
		for {
			n, err := manager.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			got := string(buf[:n])
			if strings.HasPrefix(got, want) {
				return
			}
			if got != "WATCHDOG=1" {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	p := start(t, "watchdog", []string{"NOTIFY_SOCKET=" + filepath.Join(dir, "notify"), "WATCHDOG_USEC=60000"}, "-config", configFile(t, ""))
	p.expect("running 3")
	told("READY=1")
	told("WATCHDOG=1")
	told("WATCHDOG=1")
	p.send(syscall.SIGHUP)
	told("RELOADING=1\nMONOTONIC_USEC=")
	told("READY=1")
	p.send(syscall.SIGTERM)
	told("STOPPING=1")
	if code, _ := p.exit(); code != daemon.ExitOK {
		t.Errorf("got %d: %s", code, &p.stderr)
	}
}
