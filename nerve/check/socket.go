package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"glia/nerve/disk/adminsocket"
)

// TCP passes when a connection can be made.
type TCP struct{ Address }

// Probe is part of Check.
func (c TCP) Probe(ctx context.Context) error {
	return conversation(ctx, "tcp", c.String(), func(net.Conn) error { return nil })
}

// Unix passes when a unix socket takes a connection.
type Unix struct{ Path string }

// Probe is part of Check.
func (c Unix) Probe(ctx context.Context) error {
	return conversation(ctx, "unix", c.Path, func(net.Conn) error { return nil })
}

// UDP sends a packet. With Expect an answer must hold that text; without, it passes unless the host refuses the packet within Quiet.
type UDP struct {
	Address
	Send, Expect string
	Quiet        time.Duration // less than the time that a probe has; 0 is 50 ms
}

// Probe is part of Check.
func (c UDP) Probe(ctx context.Context) error {
	return conversation(ctx, "udp", c.String(), func(conn net.Conn) error {
		if _, err := io.WriteString(conn, c.Send); err != nil {
			return err
		}
		if c.Expect == "" {
			quiet := c.Quiet
			if quiet <= 0 {
				quiet = 50 * time.Millisecond
			}
			if err := conn.SetReadDeadline(time.Now().Add(quiet)); err != nil {
				return err
			}
		}
		b := make([]byte, 64<<10)
		n, err := conn.Read(b)
		switch {
		case c.Expect == "" && isTimeout(err) && ctx.Err() == nil:
			return nil
		case err != nil:
			return err
		}
		return holds(b[:n], c.Expect)
	})
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// mostShown is how much of an answer an error shows.
const mostShown = 80

func holds(answer []byte, expect string) error {
	if !bytes.Contains(answer, []byte(expect)) {
		return fmt.Errorf("the answer %q does not have %q in it", shown(answer), expect)
	}
	return nil
}

func shown(b []byte) string {
	if len(b) > mostShown {
		return string(b[:mostShown]) + "…"
	}
	return string(b)
}

// Redis passes when a server answers PING, with PONG or with the demand for a password, and EXISTS after it.
type Redis struct{ Address }

// Probe is part of Check.
func (c Redis) Probe(ctx context.Context) error {
	return conversation(ctx, "tcp", c.String(), func(conn net.Conn) error {
		r := bufio.NewReader(io.LimitReader(conn, 4096))
		for _, q := range []struct{ ask, want string }{{"PING", "+PONG"}, {"EXISTS nerve-redis-service-check", ":"}} {
			if _, err := io.WriteString(conn, q.ask+"\r\n"); err != nil {
				return err
			}
			line, err := r.ReadString('\n')
			if err != nil {
				return fmt.Errorf("%s: %w", q.ask, err)
			}
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "-NOAUTH") {
				return nil // it works, and lets nobody in without a password
			} else if !strings.HasPrefix(line, q.want) {
				return fmt.Errorf("%s is answered with %q", q.ask, line)
			}
		}
		return nil
	})
}

// ZooKeeper passes when a server says that it serves, by the word srvr, which every server answers.
type ZooKeeper struct{ Address }

// Probe is part of Check.
func (c ZooKeeper) Probe(ctx context.Context) error {
	return conversation(ctx, "tcp", c.String(), func(conn net.Conn) error {
		if _, err := io.WriteString(conn, "srvr"); err != nil {
			return err
		}
		b, err := io.ReadAll(io.LimitReader(conn, 64<<10))
		if err != nil {
			return err
		}
		return holds(b, "Mode: ")
	})
}

// Ceph passes when a daemon answers a command at its admin socket, with the text if one is expected.
type Ceph struct {
	Socket  string
	Command string // such as "version", "status" or "mon_status"
	Expect  string
}

// Probe is part of Check.
func (c Ceph) Probe(ctx context.Context) error {
	b, err := adminsocket.Ask(ctx, c.Socket, c.Command)
	if err != nil {
		return err
	}
	return holds(b, c.Expect)
}
