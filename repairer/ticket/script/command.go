package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Command is the way to a program, which is run for each call, without a shell: the request on its standard input,
// the answer on its standard output. Exit code 0 means that there is an answer; with any other one, the last words
// on standard error say why there is none. It is in a process group of its own, which is killed when the call has
// lasted for too long.
type Command []string

// afterKill is how long the pipes of a killed program may stay open.
const afterKill = time.Second

// Carry runs the program.
func (c Command) Carry(ctx context.Context, _ string, request []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c[0], c[1:]...) //nolint:gosec // the operator wrote it in the configuration
	cmd.Stdin = bytes.NewReader(request)
	out, said := &bounded{most: largest}, &bounded{most: 64 << 10}
	cmd.Stdout, cmd.Stderr = out, said
	cmd.Dir = "/"
	cmd.Env = []string{"LANG=C.UTF-8", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = afterKill
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s did not answer in time: %w", c[0], ctx.Err())
	case out.over:
		return nil, fmt.Errorf("%s answers with more than %d bytes", c[0], largest)
	case errors.Is(err, exec.ErrWaitDelay): // it has answered, and left a child behind that keeps the pipe open
	case err != nil:
		if text := line(said.kept.String()); text != "" {
			return nil, fmt.Errorf("%s: %w: %s", c[0], err, text)
		}
		return nil, fmt.Errorf("%s: %w", c[0], err)
	}
	return out.kept.Bytes(), nil
}

// bounded keeps so many bytes, and ends who writes more.
type bounded struct {
	kept bytes.Buffer // not embedded: its ReadFrom would read without end
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > b.most {
		b.over = true
		return 0, errors.New("too much")
	}
	return b.kept.Write(p)
}
