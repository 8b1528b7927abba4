package ceph

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// StarterOf is a program that starts the daemon of an OSD as one of a simulated host, and one that stops
// it: what systemd or runit is on a real host. Both take the id as their only argument. An OSD that runs
// already is started, and one that does not run is stopped, with success.
func (c *Cluster) StarterOf(host string) (start, stop string, err error) {
	if start, err = c.controlProgram("start", host); err != nil {
		return "", "", err
	}
	stop, err = c.controlProgram("stop", host)
	return start, stop, err
}

func (c *Cluster) controlProgram(verb, host string) (string, error) {
	path := filepath.Join(c.Dir, "bin", verb+"-osd-"+host)
	return path, os.WriteFile(path, fmt.Appendf(nil, `#!/usr/bin/python3
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(%q)
s.sendall(b"%s %s " + sys.argv[1].encode() + b"\n")
answer = s.makefile().readline().strip()
if answer:
    sys.exit(answer)
`, c.controlSocket(), verb, host), 0o755)
}

func (c *Cluster) controlSocket() string { return filepath.Join(c.Dir, "run", "control") }

// serveControl takes lines "start HOST ID" and "stop HOST ID", and answers each with an empty line or
// with what went wrong.
func (c *Cluster) serveControl() error {
	l, err := net.Listen("unix", c.controlSocket())
	if err != nil {
		return err
	}
	c.control = l
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer conn.Close()
				line, _ := bufio.NewReader(conn).ReadString('\n')
				answer := ""
				if err := c.obey(strings.Fields(line)); err != nil {
					answer = strings.ReplaceAll(err.Error(), "\n", " ")
				}
				_, _ = fmt.Fprintln(conn, answer)
			}()
		}
	}()
	return nil
}

func (c *Cluster) obey(words []string) error {
	if len(words) != 3 {
		return fmt.Errorf("want a verb, a host and an id, got %q", words)
	}
	id, err := strconv.Atoi(words[2])
	if err != nil {
		return err
	}
	switch {
	case words[0] == "stop":
		return c.StopOSD(context.Background(), id)
	case c.PID(id) != 0:
		return nil
	}
	return c.StartOSDOn(id, words[1])
}
