package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"path/filepath"
)

// Slot is one slot of a host, and what is done there.
type Slot struct {
	Host   string
	Number int
	Serial string // to put in
	Size   int64  // bytes
	Used   bool   // with a filesystem on it
}

// hands changes disks for another process, over a socket in the demo's directory. Its methods have the
// form that net/rpc wants.
type hands struct{ stage stage }

// Serial tells which disk is in the slot.
func (h hands) Serial(s Slot, serial *string) (err error) {
	*serial, err = h.stage.serial(s.Host, s.Number)
	return err
}

// Fail breaks the disk, and tells how.
func (h hands) Fail(s Slot, how *string) (err error) {
	*how, err = h.stage.fail(s.Host, s.Number)
	return err
}

// Pull takes the disk out.
func (h hands) Pull(s Slot, _ *string) error { return h.stage.pull(s.Host, s.Number) }

// Insert puts a disk in.
func (h hands) Insert(s Slot, _ *string) error {
	return h.stage.insert(context.Background(), s.Host, s.Number, s.Serial, s.Size, s.Used)
}

const handsName = "Hands"

func socketOf(dir string) string { return filepath.Join(dir, "demo.socket") }

// serveHands changes the disks of the stage for others until the context ends.
func serveHands(ctx context.Context, dir string, s stage) error {
	server := rpc.NewServer()
	if err := server.RegisterName(handsName, hands{s}); err != nil {
		return err
	}
	l, err := net.Listen("unix", socketOf(dir))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("change disks for others: %w", err)
		}
		go server.ServeConn(conn) // ends with the process that asks, or with this one
	}
}

// remoteStage is the stage of a demo that runs in another process.
type remoteStage struct {
	dir   string
	bytes int64
}

func (r remoteStage) call(verb string, s Slot) (answer string, err error) {
	c, err := rpc.Dial("unix", socketOf(r.dir))
	if err != nil {
		return "", fmt.Errorf("the demo in %s does not answer: start it with glia dev: %w", r.dir, err)
	}
	err = c.Call(handsName+"."+verb, s, &answer)
	return answer, errors.Join(err, c.Close())
}

func (r remoteStage) size() int64 { return r.bytes }

func (r remoteStage) serial(host string, slot int) (string, error) {
	return r.call("Serial", Slot{Host: host, Number: slot})
}

func (r remoteStage) fail(host string, slot int) (string, error) {
	return r.call("Fail", Slot{Host: host, Number: slot})
}

func (r remoteStage) pull(host string, slot int) error {
	_, err := r.call("Pull", Slot{Host: host, Number: slot})
	return err
}

func (r remoteStage) insert(_ context.Context, host string, slot int, serial string, size int64, used bool) error {
	_, err := r.call("Insert", Slot{host, slot, serial, size, used})
	return err
}
