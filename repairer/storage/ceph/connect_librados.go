//go:build ceph

package ceph

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/ceph/go-ceph/rados"
)

// Built says whether the program can reach Ceph clusters.
const Built = true

// Conn is the way to a cluster by librados. It is safe for concurrent use.
type Conn struct {
	quick, patient *link
}

// link is one connection, made when it is first needed and again after it was lost. A call into librados can not be
// stopped: it gets one call at a time, a caller whose time is up leaves it, and until librados returns, by its own
// timeout, all others are told so.
type link struct {
	access  Access
	timeout time.Duration // of a command within librados
	slot    chan struct{} // held by the one call

	conn *rados.Conn // nil: not connected; used by who has the slot
}

// patience is the timeout within librados of what asks a manager. When one runs out, librados goes on to write an answer
// that comes to where the call was, and the process dies of it (https://tracker.ceph.com/issues/65985): so none
// runs out as long as managers fail over or are started again, and the caller does not wait for it. What changes
// something may not be done later than its caller knows of, and has the caller's timeout.
const patience = 10 * time.Minute

var _ Cluster = (*Conn)(nil)

// Connect makes a connection. Nothing is sent before the first command, so that a repairer starts while
// a cluster is down.
func Connect(a Access) (Cluster, error) {
	with := func(timeout time.Duration) *link {
		return &link{access: a, timeout: timeout, slot: make(chan struct{}, 1)}
	}
	return &Conn{quick: with(a.Timeout), patient: with(max(patience, a.Timeout))}, nil
}

// Mon sends a command to the monitors.
func (c *Conn) Mon(ctx context.Context, cmd Command, input []byte) ([]byte, error) {
	return c.quick.call(ctx, cmd, func(r *rados.Conn, text []byte) ([]byte, string, error) {
		if input != nil {
			return r.MonCommandWithInputBuffer(text, input)
		}
		return r.MonCommand(text)
	})
}

// Mgr sends a command to the active manager.
func (c *Conn) Mgr(ctx context.Context, cmd Command) ([]byte, error) {
	l := c.quick
	if asks(cmd) {
		l = c.patient
	}
	return l.call(ctx, cmd, func(r *rados.Conn, text []byte) ([]byte, string, error) {
		return r.MgrCommand([][]byte{text})
	})
}

// asks says whether a command to a manager changes nothing.
func asks(cmd Command) bool {
	switch cmd["prefix"] {
	case "osd df", "osd perf", "osd ok-to-stop", "osd safe-to-destroy", "pg ls", "pg ls-by-osd", "pg dump", "device ls":
		return true
	}
	return false
}

type reply struct {
	out []byte
	err error
}

// grace is for librados to give up by itself, before a call is left alone.
const grace = 2 * time.Second

func (c *link) call(ctx context.Context, cmd Command, send func(*rados.Conn, []byte) ([]byte, string, error)) ([]byte, error) {
	text, err := cmd.JSON()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*c.access.Timeout+grace) // connecting and the command
	defer cancel()
	select {
	case c.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, c.late(ctx, cmd)
	}
	done := make(chan reply, 1)
	go func() {
		defer func() { <-c.slot }()
		out, err := c.send(cmd, text, send)
		done <- reply{out, err}
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done():
		return nil, c.late(ctx, cmd)
	}
}

// late is the error of a caller whose time is up.
func (*link) late(ctx context.Context, cmd Command) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fmt.Errorf("%s: %w", cmd, ErrSilent)
}

// send is called by who has the slot.
func (c *link) send(cmd Command, text []byte, send func(*rados.Conn, []byte) ([]byte, string, error)) ([]byte, error) {
	r, err := c.connected()
	if err != nil {
		return nil, err
	}
	out, status, err := send(r, text)
	if err == nil {
		return out, nil
	}
	errno := errnoOf(err)
	switch errno {
	case etimedout, enotconn, eshutdown, 0:
		c.drop() // a connection that is not used again can not be stale
		return nil, fmt.Errorf("%s: %w", cmd, ErrSilent)
	case eacces, eperm:
		c.drop() // what a client may do is settled when it connects, and an administrator may mend it now
		status += "; client." + c.access.User + " lacks a capability: see glia ceph create-user"
	}
	return out, &CommandError{Command: cmd.String(), Errno: errno, Status: status}
}

// connected is the connection, which is made if there is none.
func (c *link) connected() (*rados.Conn, error) {
	if c.conn != nil {
		return c.conn, nil
	}
	a := c.access
	r, err := rados.NewConnWithUser(a.User)
	if err != nil {
		return nil, fmt.Errorf("use librados: %w", err)
	}
	if err := r.ReadConfigFile(a.Conf); err != nil {
		r.Shutdown()
		return nil, fmt.Errorf("read %s: %w", a.Conf, plain(err))
	}
	seconds := func(d time.Duration) string { return strconv.Itoa(max(1, int(d.Round(time.Second)/time.Second))) }
	for _, o := range [][2]string{{"client_mount_timeout", seconds(a.Timeout)}, {"rados_mon_op_timeout", seconds(c.timeout)}, {"rados_osd_op_timeout", seconds(a.Timeout)}, {"keyring", a.Keyring}} {
		if o[1] == "" {
			continue
		}
		if err := r.SetConfigOption(o[0], o[1]); err != nil {
			r.Shutdown()
			return nil, fmt.Errorf("set %s to %s: %w", o[0], o[1], err)
		}
	}
	if err := r.Connect(); err != nil {
		r.Shutdown()
		switch errnoOf(err) {
		case enoent:
			return nil, fmt.Errorf("connect as client.%s: its key is not found in %s", a.User, orConf(a))
		case eacces, eperm, einval:
			return nil, fmt.Errorf("connect as client.%s: the cluster does not accept the key in %s", a.User, orConf(a))
		}
		return nil, fmt.Errorf("connect as client.%s: %w: %w", a.User, ErrSilent, plain(err))
	}
	c.conn = r
	return r, nil
}

func orConf(a Access) string {
	if a.Keyring != "" {
		return a.Keyring
	}
	return "the keyring that " + a.Conf + " names"
}

func (c *link) drop() {
	c.conn.Shutdown()
	c.conn = nil
}

// errno(3)
const (
	eperm     = 1
	enoent    = 2
	eacces    = 13
	einval    = 22
	enotconn  = 107
	eshutdown = 108
	etimedout = 110
)

// errnoOf is the number of an error of librados, without its sign, which differs between monitor and
// manager commands; 0 when it has none.
func errnoOf(err error) int {
	var code interface{ ErrorCode() int }
	if !errors.As(err, &code) {
		return 0
	}
	return max(code.ErrorCode(), -code.ErrorCode())
}

// plain is the error without the number in front of it, by which librados names what errno(3) has words for.
func plain(err error) error {
	if n := errnoOf(err); n != 0 {
		return syscall.Errno(n)
	}
	return err
}
