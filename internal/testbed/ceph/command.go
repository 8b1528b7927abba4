package ceph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Ceph runs the ceph command as client.admin and returns what it printed on standard output.
func (c *Cluster) Ceph(ctx context.Context, args ...string) ([]byte, error) {
	return c.tool(ctx, nil, "ceph", append([]string{"--cluster", c.Name, "--connect-timeout", "30"}, args...)...)
}

// JSON runs the ceph command with -f json and decodes its answer.
func (c *Cluster) JSON(ctx context.Context, into any, args ...string) error {
	out, err := c.Ceph(ctx, append(args, "-f", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("ceph %s: %w in %q", strings.Join(args, " "), err, out)
	}
	return nil
}

func (c *Cluster) run(ctx context.Context, args ...string) error {
	_, err := c.Ceph(ctx, args...)
	return err
}

// script runs several ceph commands, one a line, in one process.
func (c *Cluster) script(ctx context.Context, lines string) error {
	_, err := c.tool(ctx, []byte(lines), "ceph", "--cluster", c.Name, "--connect-timeout", "30")
	return err
}

// tool runs one of Ceph's programs with nothing in its environment but the cluster.
func (c *Cluster) tool(ctx context.Context, stdin []byte, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not finished after %s", patience))
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = c.environment("", "")
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return out, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
