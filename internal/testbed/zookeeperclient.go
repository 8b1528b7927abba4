package testbed

import (
	"net"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// ZooKeeperClient connects to a server, with a session of this time, until the test ends. The library by itself waits for ten times
// that for a session from a server that was stopped, or is being started, when it took the connection; this one tries again soon.
func ZooKeeperClient(t testing.TB, s *Server, session time.Duration) *zk.Conn {
	t.Helper()
	conn, _, err := zk.Connect([]string{s.Addr}, session, zk.WithLogInfo(false), zk.WithLogger(silent{}),
		zk.WithDialer(func(network, addr string, timeout time.Duration) (net.Conn, error) {
			c, err := net.DialTimeout(network, addr, timeout)
			return prompt{c, session}, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// sessionWithin bounds the wait for a session.
const sessionWithin = 5 * time.Second

// prompt is a connection on which a deadline after more than a session is a wait for one.
type prompt struct {
	net.Conn
	session time.Duration
}

// SetReadDeadline is part of net.Conn.
func (p prompt) SetReadDeadline(at time.Time) error {
	if time.Until(at) > p.session {
		at = time.Now().Add(sessionWithin)
	}
	return p.Conn.SetReadDeadline(at)
}
