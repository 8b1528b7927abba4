package haproxy

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"glia/synapse/service"
)

// Seen is what HAProxy has of one service, in its file and in each of its processes.
type Seen struct {
	Bind      string            // where clients find it; empty: nowhere
	Lines     map[string]string // in the file, by server; nil when it can not be read
	Problem   string            // why not
	Processes []SeenProcess     // by socket, in their order
}

// SeenProcess is one of them.
type SeenProcess struct {
	Socket  string
	Problem string // why it does not answer
	PID     int
	Servers map[string]SeenServer
}

// SeenServer is one server as a process has it.
type SeenServer struct {
	Status string // as show stat tells it, such as "UP", "DOWN", "MAINT" or "no check"
	Weight int
	Check  string // what the last check of HAProxy found; empty without checks
}

// ServerName is what HAProxy calls a backend.
func ServerName(b service.Backend) string { return Server{Backend: b}.Name() }

// shown is what Look and Bind need of the options that are in force.
type shown struct {
	file     string
	sockets  []Socket
	backends map[string]string // by service
	binds    map[string]string
}

// show notes what is in force now.
func (o *Output) show() {
	now := shown{o.o.File.Path, o.o.Sockets, map[string]string{}, map[string]string{}}
	for _, s := range o.r.services {
		_, bind, _ := strings.Cut(s.frontend, "\tbind ")
		bind, _, _ = strings.Cut(bind, "\n")
		bind, _, _ = strings.Cut(bind, " ")
		now.binds[s.Name], now.backends[s.Name] = bind, s.backendName()
	}
	o.mu.Lock()
	o.shown = now
	o.mu.Unlock()
}

func (o *Output) inForce() shown {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.shown
}

// Bind is where clients find a service; empty when that is nowhere, or when it is not configured.
func (o *Output) Bind(name string) string { return o.inForce().binds[name] }

// Look reads the file and asks all processes; ok is false when the service is not configured. It is safe for concurrent use.
func (o *Output) Look(ctx context.Context, name string) (s Seen, ok bool) {
	now := o.inForce()
	backend, ok := now.backends[name]
	if !ok {
		return s, false
	}
	s.Bind = now.binds[name]
	if text, err := os.ReadFile(now.file); err != nil {
		s.Problem = err.Error()
	} else {
		s.Lines = linesOf(string(text), backend)
	}
	for _, sock := range now.sockets {
		p := SeenProcess{Socket: sock.Path}
		var err error
		if p.PID, p.Servers, err = sock.stat(ctx, backend); err != nil {
			p.Problem = err.Error()
		}
		s.Processes = append(s.Processes, p)
	}
	return s, true
}

// stat asks a process for the servers of a backend.
func (s Socket) stat(ctx context.Context, backend string) (pid int, servers map[string]SeenServer, err error) {
	// A frontend may have the same name, so the backend is asked for by its number.
	answers, err := s.ask(ctx, "show info", "show backend", "show servers state "+backend)
	if err != nil {
		return 0, nil, err
	}
	is, err := parseInfo(answers[0])
	if err != nil {
		return 0, nil, err
	}
	lines := strings.Split(answers[2], "\n")
	if len(lines) < 3 {
		if !slices.Contains(strings.Split(answers[1], "\n"), backend) {
			return is.PID, nil, fmt.Errorf("HAProxy %d has no backend %s: it was not reloaded with the file", is.PID, backend)
		}
		return is.PID, map[string]SeenServer{}, nil // without servers
	}
	number, _, _ := strings.Cut(lines[2], " ")
	// Of that proxy the rows that are servers (4), all of them (-1).
	if answers, err = s.ask(ctx, "show stat "+number+" 4 -1"); err != nil {
		return is.PID, nil, err
	}
	servers, err = parseStat(answers[0], backend)
	return is.PID, servers, err
}

// linesOf are the server lines of a backend in a file, by server.
func linesOf(text, backend string) map[string]string {
	out := map[string]string{}
	within := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != '\t' && line[0] != ' ' {
			within = line == "backend "+backend
			continue
		}
		if f := strings.Fields(line); within && len(f) > 1 && f[0] == "server" {
			out[f[1]] = strings.TrimSpace(line)
		}
	}
	return out
}

// parseStat reads the servers of a backend from the CSV of "show stat". Columns are found by their names.
func parseStat(text, backend string) (map[string]SeenServer, error) {
	text, ok := strings.CutPrefix(text, "# ")
	if !ok {
		return nil, fmt.Errorf("show stat is answered with %.60q", text)
	}
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("show stat: %w", err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, want := range []string{"pxname", "svname", "status", "weight", "check_status", "last_chk"} {
		if _, ok := column[want]; !ok {
			return nil, fmt.Errorf("show stat has no column %s", want)
		}
	}
	out := map[string]SeenServer{}
	for _, row := range rows[1:] {
		if len(row) < len(rows[0]) || row[column["pxname"]] != backend {
			continue
		}
		weight, _ := strconv.Atoi(row[column["weight"]])
		check := strings.TrimSpace(row[column["check_status"]] + " " + row[column["last_chk"]])
		out[row[column["svname"]]] = SeenServer{Status: row[column["status"]], Weight: weight, Check: check}
	}
	return out, nil
}
