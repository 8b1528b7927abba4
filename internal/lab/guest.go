package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"glia/internal/lab/order"
)

// bounded bounds each request: a QEMU that waits for a disk serves no network either. On a machine whose processors
// forty others want, what takes seconds takes minutes.
var bounded = &http.Client{Timeout: 5 * time.Minute}

// Run runs a command in the machine and returns what it has printed. An error says how it ended.
func (m *Machine) Run(ctx context.Context, argv ...string) (string, error) {
	r, err := m.execute(ctx, order.Command{Argv: argv})
	switch {
	case err != nil:
	case r.Error != "":
		err = errors.New(r.Error)
	case r.Code != 0:
		err = fmt.Errorf("exit status %d: %s", r.Code, strings.TrimSpace(r.Output))
	}
	if err != nil {
		return r.Output, fmt.Errorf("%s: %s: %w", m.name, strings.Join(argv, " "), err)
	}
	return r.Output, nil
}

// Shell runs a script in the machine, as Run does.
func (m *Machine) Shell(ctx context.Context, script string) (string, error) {
	return m.Run(ctx, "sh", "-c", script)
}

// Start runs a command in the machine's background. What it prints is on the console.
func (m *Machine) Start(ctx context.Context, argv ...string) error {
	r, err := m.execute(ctx, order.Command{Argv: argv, Detach: true})
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	if err != nil {
		return fmt.Errorf("%s: start %s: %w", m.name, strings.Join(argv, " "), err)
	}
	return nil
}

// Load loads a module of the kernel that is not loaded at boot; parameters are written like "opts=2".
func (m *Machine) Load(ctx context.Context, module string, parameters ...string) error {
	_, err := m.Run(ctx, append([]string{"insmod", filepath.Join(moduleDir, module+".ko")}, parameters...)...)
	return err
}

// Put writes a file in the machine.
func (m *Machine) Put(ctx context.Context, path string, content io.Reader) error {
	_, err := m.request(ctx, http.MethodPut, order.FilePath+"?path="+url.QueryEscape(path), content)
	if err != nil {
		return fmt.Errorf("%s: write %s: %w", m.name, path, err)
	}
	return nil
}

func (m *Machine) execute(ctx context.Context, c order.Command) (order.Result, error) {
	var r order.Result
	b, err := json.Marshal(c)
	if err != nil {
		return r, err
	}
	answer, err := m.request(ctx, http.MethodPost, order.RunPath, bytes.NewReader(b))
	if err == nil {
		err = json.Unmarshal(answer, &r)
	}
	return r, err
}

func (m *Machine) request(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+m.ports[order.Port]+path, body)
	if err != nil {
		return nil, err
	}
	answer, err := bounded.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(b)))
	}
	return b, err
}
