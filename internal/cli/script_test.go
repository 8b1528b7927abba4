package cli_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"glia/internal/cli"
)

// now is the time that every glia of the scripts believes in, and that all data is relative to.
var now = time.Date(2026, 3, 1, 2, 20, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"glia": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		os.Exit(cli.Main(ctx, os.Args[1:], cli.Options{
			Now:      func() time.Time { return now },
			Straight: straight,
			Extra: []*cobra.Command{{
				Use:   "extra",
				Short: "A command from outside the package",
				RunE:  func(*cobra.Command, []string) error { return errors.New("extra: out of luck") },
			}},
		}))
	}})
}

// TestGlia runs the real command against a server of the test. Beside the usual commands the scripts have:
//
//	exits CODE program args...   run, and compare the exit code
//	server VERB args...          steer or ask the server, see (*bed).command
func TestGlia(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			b, err := newBed(e.WorkDir)
			if err != nil {
				return err
			}
			e.Defer(b.close)
			e.Values[bedKey{}] = b
			login, err := user.Current()
			if err != nil {
				return err
			}
			e.Setenv("LOGIN", login.Username)
			e.Setenv("USER", "ada")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // or each glia of a race build ends a second late
			e.Setenv("GLIA_REPAIRER", "http://"+b.addr)
			e.Setenv("GLIA_SYNAPSE", "http://"+b.addr)
			e.Setenv("GLIA_NERVE", "http://"+b.addr)
			e.Setenv("ADDR", b.addr)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"server": func(ts *testscript.TestScript, neg bool, args []string) { bedOf(ts).command(ts, neg, args) },
		},
	})
}

type bedKey struct{}

func bedOf(ts *testscript.TestScript) *bed { return ts.Value(bedKey{}).(*bed) }

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
