package lab_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"glia/internal/lab"
)

// QEMU answers nobody while it waits for a disk, and then all at once.
func TestMonitor_TakesNoLateAnswerForAnothers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "qmp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return // the test has ended
		}
		defer func() { _ = conn.Close() }()
		late := ""
		for in := json.NewDecoder(conn); ; {
			var asked struct {
				Execute string
				ID      json.RawMessage
			}
			if in.Decode(&asked) != nil {
				return // hung up
			}
			answer := fmt.Sprintf(`{"return": %q, "id": %s}`+"\n", asked.Execute, asked.ID)
			if asked.Execute == "slow" {
				late = answer
				continue
			}
			if _, err := conn.Write([]byte(late + `{"event": "RESUME"}` + "\n" + answer)); err != nil {
				return
			}
		}
	}()
	ask, hangUp, err := lab.DialMonitor(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hangUp() })
	if got, err := ask("slow", 10*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s, %v", got, err)
	}
	if got, err := ask("quick", time.Minute); err != nil || got != `"quick"` {
		t.Errorf("%s, %v", got, err)
	}
}
