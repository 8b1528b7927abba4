package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Exec runs a command of the operator, without a shell, and passes when it ends with 0. What it says is part of the reason when it does
// not. With the end of the context it is killed, and all that it has started with it.
type Exec struct{ Command []string }

// Probe is part of Check.
func (c Exec) Probe(ctx context.Context) error {
	if len(c.Command) == 0 {
		return errors.New("there is no command")
	}
	cmd := exec.CommandContext(ctx, c.Command[0], c.Command[1:]...) //nolint:gosec // what the operator wrote
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if err == nil {
		return nil
	}
	said := strings.Join(strings.Fields(out.String()), " ")
	if ctx.Err() != nil {
		err = errors.New("did not end in time")
	}
	if said != "" {
		return fmt.Errorf("%s: %w: %s", c.Command[0], err, said)
	}
	return fmt.Errorf("%s: %w", c.Command[0], err)
}

// mostSaid is how much of what a command says is kept.
const mostSaid = 500

// tail keeps the end of what is written.
type tail struct{ b bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.b.Write(p)
	if over := t.b.Len() - mostSaid; over > 0 {
		t.b.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.ToValidUTF8(t.b.String(), "") }
