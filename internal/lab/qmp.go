package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// monitor speaks QMP, QEMU's machine protocol (docs/interop/qmp-spec.txt of QEMU): one JSON object a line. It is
// our own, because github.com/digitalocean/go-qemu knows no deadline, and a QEMU that waits for a disk answers
// nobody. It is safe for concurrent use.
type monitor struct {
	mu   sync.Mutex
	conn net.Conn
	from *bufio.Reader
	last uint64 // ID of the last command: the answer to one that was given up may come after it

	within time.Duration // bound of one command
}

// answerWithin bounds one command. Where forty others want the processors, what takes seconds takes minutes.
const answerWithin = 3 * time.Minute

// message is anything that QEMU says. Of a greeting and of events no field is set but the last two.
type message struct {
	ID     uint64          `json:"id"` // of the command that it answers
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Greeting json.RawMessage `json:"QMP"`
	Event    string          `json:"event"`
}

// errRefused is QEMU's own answer, after which it can be asked further.
var errRefused = errors.New("refused")

// dialMonitor connects to QEMU's socket and says that it speaks the protocol.
func dialMonitor(path string) (*monitor, error) {
	conn, err := net.DialTimeout("unix", path, answerWithin)
	if err != nil {
		return nil, err
	}
	m := &monitor{conn: conn, from: bufio.NewReader(conn), within: answerWithin}
	if _, err := m.call("qmp_capabilities", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return m, nil
}

// Close ends the connection; QEMU goes on.
func (m *monitor) Close() error { return m.conn.Close() }

// call runs one command and returns what it returns.
func (m *monitor) call(command string, arguments map[string]any) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.conn.SetDeadline(time.Now().Add(m.within)); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	m.last++
	request := map[string]any{"execute": command, "id": m.last}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	for {
		line, err := m.from.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		var said message
		switch err := json.Unmarshal(line, &said); {
		case err != nil:
			return nil, fmt.Errorf("%s: answer %q: %w", command, line, err)
		case said.ID != m.last:
		case said.Error != nil:
			return nil, fmt.Errorf("%s: %w: %s", command, errRefused, said.Error.Desc)
		case said.Return != nil:
			return said.Return, nil
		}
	}
}
