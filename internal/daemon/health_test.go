package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"glia/config"
	"glia/internal/daemon"
)

func TestHealth_IsReadyOnlyWhenEveryCheckIs(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := daemon.NewHealth(daemon.NewLogger(&log, config.LevelInfo, config.FormatText), "registry", "probes")
	mux := http.NewServeMux()
	daemon.Routes(mux, h, daemon.NewRegistry())
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	expect := func(path string, status int, body string) {
		t.Helper()
		if s, b := ask(path); s != status || b != body {
			t.Errorf("%s: got %d %q, want %d %q", path, s, b, status, body)
		}
	}
	expect("/healthz", 200, "ok\n")
	expect("/readyz", 503, "registry: not ready: starting\nprobes: not ready: starting\n")
	h.Ready("registry", "")
	h.Ready("registry", "")
	expect("/readyz", 503, "registry: ready\nprobes: not ready: starting\n")
	h.Ready("probes", "3 disks not looked at yet")
	h.Ready("probes", "2 disks not looked at yet")
	expect("/readyz?format=json", 503, `{"ready":false,"checks":[{"name":"registry"},{"name":"probes","reason":"2 disks not looked at yet"}]}`+"\n")
	h.Ready("probes", "")
	expect("/readyz", 200, "registry: ready\nprobes: ready\n")
	h.Ready("disk space", "full")
	expect("/readyz?format=json", 503, `{"ready":false,"checks":[{"name":"registry"},{"name":"probes"},{"name":"disk space","reason":"full"}]}`+"\n")
	h.Ready("registry", "no member answers")

	if lines := strings.Count(log.String(), "\n"); lines != 3 {
		t.Errorf("%d lines logged, want one for each change:\n%s", lines, &log)
	}
	_, metrics := ask("/metrics")
	for _, want := range []string{`glia_ready{check="probes"} 1`, `glia_ready{check="registry"} 0`, `glia_build_info{version="dev"} 1`, "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

func TestHealth_WithoutChecksIsNotReady(t *testing.T) {
	t.Parallel()
	if ready, checks := daemon.NewHealth(quiet).Checks(); ready || len(checks) != 1 || checks[0].Reason == "" {
		t.Errorf("got %v %v", ready, checks)
	}
}

func TestNewLogger_WritesWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		level  config.Level
		format config.Format
		want   []string
	}{
		{config.LevelDebug, config.FormatText, []string{"DEBUG", "INFO", "WARN", "ERROR"}},
		{config.LevelInfo, config.FormatText, []string{"INFO", "WARN", "ERROR"}},
		{config.LevelWarn, config.FormatJSON, []string{"WARN", "ERROR"}},
		{config.LevelError, config.FormatJSON, []string{"ERROR"}},
	} {
		var b bytes.Buffer
		log := daemon.NewLogger(&b, tt.level, tt.format)
		for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			log.Log(t.Context(), l, "m")
		}
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if len(lines) != len(tt.want) {
			t.Errorf("%s: got %q", tt.level, lines)
			continue
		}
		for i, l := range lines {
			if isJSON := json.Valid([]byte(l)); isJSON != (tt.format == config.FormatJSON) || !strings.Contains(l, tt.want[i]) {
				t.Errorf("%s %s: got %q", tt.level, tt.format, l)
			}
		}
	}
}

func TestServeDebug_ServesProfilesToOneUserOnly(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "glia") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "debug.sock")

	// What a process that was killed leaves behind.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	// Processes that other tests start have it, too, until they run their program.
	waitFor(t, func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- daemon.ServeDebug(ctx, socket, quiet) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
	waitFor(t, func() bool {
		select {
		case err := <-served:
			t.Fatal(err)
		default:
		}
		resp, err := client.Get("http://debug/debug/pprof/goroutine?debug=1")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the socket has mode %04o", mode)
	}
	if err := daemon.ServeDebug(ctx, socket, quiet); err == nil || !strings.Contains(err.Error(), "another process serves it") {
		t.Errorf("a second one: %v", err)
	}
	// Somebody who is connected and asks nothing makes its end no error.
	idle, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = idle.Close() }()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}

	file := filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := daemon.ServeDebug(t.Context(), file, quiet); err == nil {
		t.Error("served on a file")
	}
	if data, _ := os.ReadFile(file); string(data) != "precious" {
		t.Error("a file that is no socket was removed")
	}
}
