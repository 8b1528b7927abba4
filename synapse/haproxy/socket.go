package haproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds what is read of a stats socket at one time: 10,000 servers take 2 MB.
const maxAnswer = 64 << 20

// Socket is a stats socket of level admin.
type Socket struct {
	Path    string
	Timeout time.Duration // for one conversation
}

// process is one HAProxy that was talked to.
type process struct {
	PID     int
	Started int64 // seconds; 0 when HAProxy does not tell
}

// running is one server as HAProxy has it.
type running struct {
	ID          int
	Maintenance bool // forced by the runtime API, or by "disabled" in the file
	Weight      int
}

// Admin states of a server, as in the state file of HAProxy (configuration manual, server-state-file).
const (
	forcedMaintenance = 0x01
	configMaintenance = 0x04
)

// ask sends the commands over one connection and returns an answer for each, without the empty line at its end.
func (s Socket) ask(ctx context.Context, commands ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", s.Path)
	if err != nil {
		return nil, fmt.Errorf("stats socket: %w", err)
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()

	// With a prompt HAProxy takes many commands, and ends the answer to each by "> " on a line of its own. It reads no faster than it
	// answers, so writing must not wait for reading.
	lines := append([]string{"prompt", "experimental-mode on"}, commands...)
	written := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, strings.Join(lines, "\n")+"\nquit\n")
		written <- err
	}()
	b, err := io.ReadAll(io.LimitReader(bufio.NewReader(c), maxAnswer))
	_ = c.SetWriteDeadline(time.Unix(1, 0)) // nobody reads any more
	if werr := <-written; err == nil && werr != nil && len(b) == 0 {
		err = werr
	}
	if err != nil {
		return nil, fmt.Errorf("stats socket %s: %w", s.Path, err)
	}
	answers := strings.Split(string(b), "\n> ")
	if len(answers) < len(lines)+1 {
		return nil, fmt.Errorf("stats socket %s: %d of %d commands were answered", s.Path, max(0, len(answers)-3), len(commands))
	}
	answers = answers[2 : 2+len(commands)]
	for i := range answers {
		answers[i] = strings.Trim(answers[i], "\n")
	}
	return answers, nil
}

// process tells which process serves the socket.
func (s Socket) process(ctx context.Context) (process, error) {
	answers, err := s.ask(ctx, "show info")
	if err != nil {
		return process{}, err
	}
	p, err := parseInfo(answers[0])
	if err != nil {
		return p, fmt.Errorf("stats socket %s: %w", s.Path, err)
	}
	return p, nil
}

// look is process, and what servers it has: of some backends, or of all when none is named. A backend that is not there has none.
func (s Socket) look(ctx context.Context, backends ...string) (process, map[string]map[string]running, error) {
	commands := []string{"show info"}
	for _, b := range backends {
		commands = append(commands, "show servers state "+b)
	}
	if len(backends) == 0 {
		commands = append(commands, "show servers state")
	}
	answers, err := s.ask(ctx, commands...)
	if err != nil {
		return process{}, nil, err
	}
	p, err := parseInfo(answers[0])
	all := map[string]map[string]running{}
	for _, a := range answers[1:] {
		if strings.HasPrefix(a, "Can't find backend") || err != nil {
			continue
		}
		var some map[string]map[string]running
		some, err = parseServers(a)
		maps.Copy(all, some)
	}
	if err != nil {
		return p, nil, fmt.Errorf("stats socket %s: %w", s.Path, err)
	}
	return p, all, nil
}

// parseInfo reads "show info".
func parseInfo(text string) (p process, err error) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "Pid":
			p.PID, _ = strconv.Atoi(value)
		case "Start_time_sec":
			p.Started, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	if p.PID == 0 {
		return p, fmt.Errorf("show info names no process: %.60q", text)
	}
	return p, nil
}

// parseServers reads version 1 of "show servers state", by backend and server. Columns are found by their names.
func parseServers(text string) (map[string]map[string]running, error) {
	version, text, _ := strings.Cut(text, "\n")
	if version != "1" {
		return nil, fmt.Errorf("version %.60q is not known", version)
	}
	head, text, _ := strings.Cut(text, "\n")
	head, ok := strings.CutPrefix(head, "# ")
	if !ok {
		return nil, errors.New("there is no head")
	}
	column := map[string]int{}
	for i, name := range strings.Fields(head) {
		column[name] = i
	}
	want := []string{"be_name", "srv_id", "srv_name", "srv_admin_state", "srv_uweight"}
	for _, w := range want {
		if _, ok := column[w]; !ok {
			return nil, fmt.Errorf("there is no column %s", w)
		}
	}
	out := map[string]map[string]running{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < len(column) {
			return nil, fmt.Errorf("line %.80q is cut", line)
		}
		var n [3]int
		for i, w := range []string{"srv_id", "srv_admin_state", "srv_uweight"} {
			var err error
			if n[i], err = strconv.Atoi(f[column[w]]); err != nil {
				return nil, fmt.Errorf("%s is %q", w, f[column[w]])
			}
		}
		be := f[column["be_name"]]
		if out[be] == nil {
			out[be] = map[string]running{}
		}
		out[be][f[column["srv_name"]]] = running{ID: n[0], Maintenance: n[1]&(forcedMaintenance|configMaintenance) != 0, Weight: n[2]}
	}
	return out, nil
}
