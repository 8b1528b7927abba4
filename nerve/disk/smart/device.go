package smart

import (
	"context"
	"errors"
	"fmt"
)

// Kind is the language that a disk speaks.
type Kind int

// The kinds. KindNone is a device that is not asked anything.
const (
	KindNone Kind = iota
	KindATA
	KindSCSI
	KindNVMe
)

var kindWords = [...]string{"none", "ATA", "SCSI", "NVMe"}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindWords) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindWords[k]
}

var (
	// ErrNone says that a device is of no kind that is asked: a loop device, a volume of a RAID controller,
	// a disk behind a USB bridge.
	ErrNone = errors.New("it tells nothing about itself")
	// ErrUnsupported says that the disk does not offer what was asked for.
	ErrUnsupported = errors.New("the disk does not offer it")
	// ErrRefused says that this package does not send the command to this device.
	ErrRefused = errors.New("not sent: the command is not for this device")
)

// Answer is what came back for a command.
type Answer struct {
	Length int // bytes of data

	Status       uint8  // of SCSI
	Host, Driver uint16 // of Linux' SCSI layer
	Sense        []byte // valid until the next command

	NVMe uint16 // status type and code; 0 is success
}

// Wire carries commands to one disk: the kernel or, in tests, a disk that is made up. An error says that the
// command was not answered at all. It is used by one goroutine.
type Wire interface {
	Send(c Command, data []byte) (Answer, error)
	Close() error
}

// Device is one open disk. It is used by one goroutine.
type Device struct {
	kind  Kind
	wire  Wire
	tests bool // may start self-tests
}

// NewDevice makes a device of a wire. With tests it also starts self-tests.
func NewDevice(kind Kind, w Wire, tests bool) *Device {
	return &Device{kind: kind, wire: w, tests: tests}
}

// Kind is the disk's language.
func (d *Device) Kind() Kind { return d.kind }

// Close lets go of the disk.
func (d *Device) Close() error { return d.wire.Close() }

// attentions is how many unit attentions in a row are taken for news (a reset, new parameters) and the command
// sent again.
const attentions = 3

// Ask sends a command and returns the part of data that was filled in. The error wraps ErrUnsupported when the
// disk does not know the command or the page. A context that has ended keeps the command from being sent; one
// that is under way is never cut short, because the kernel would answer that with a reset of the
// disk, or of all disks at that port.
func (d *Device) Ask(ctx context.Context, c Command, data []byte) ([]byte, error) {
	data, _, err := d.ask(ctx, c, data)
	return data, err
}

// Registers sends an ATA command without data and returns what it leaves in the registers. ok is false if
// controller or bridge keep them to themselves.
func (d *Device) Registers(ctx context.Context, c Command) (r Registers, ok bool, err error) {
	_, a, err := d.ask(ctx, c, nil)
	if err != nil {
		return r, false, err
	}
	r, ok = ATARegisters(a.Sense)
	return r, ok, nil
}

func (d *Device) ask(ctx context.Context, c Command, data []byte) ([]byte, Answer, error) {
	// REQUEST SENSE and LOG SENSE are not for ATA disks: what a translation layer makes up is not the disk's.
	if c.kind == KindNone || c.kind != d.kind || c.starts && !d.tests || len(data) < c.size {
		return nil, Answer{}, fmt.Errorf("%s: %w", c.Name(), ErrRefused)
	}
	data = data[:c.size]
	for try := 1; ; try++ {
		if ctx.Err() != nil {
			return nil, Answer{}, fmt.Errorf("%s: not sent: %w", c.Name(), context.Cause(ctx))
		}
		clear(data)
		a, err := d.wire.Send(c, data)
		if err != nil {
			return nil, a, fmt.Errorf("%s: %w", c.Name(), err)
		}
		again, err := a.judge(d.kind)
		if again && try < attentions {
			continue
		}
		if err != nil {
			return nil, a, fmt.Errorf("%s: %w", c.Name(), err)
		}
		return data[:min(max(a.Length, 0), len(data))], a, nil
	}
}

// Asleep says how the disk sleeps, and nothing when it is awake or does not tell. It wakes no disk. NVMe disks
// answer in all their power states.
func (d *Device) Asleep(ctx context.Context) (string, error) {
	switch d.kind {
	case KindATA:
		r, ok, err := d.Registers(ctx, CheckPowerMode)
		if err == nil && ok && Standby(r) {
			return "in standby", nil
		}
		return "", err
	case KindSCSI:
		var page [senseSize]byte
		s, err := d.requestSense(ctx, page[:])
		return s.Asleep(), err
	}
	return "", nil
}

func (d *Device) requestSense(ctx context.Context, page []byte) (Sense, error) {
	var s Sense
	b, err := d.Ask(ctx, RequestSense, page)
	if err != nil {
		return s, err
	}
	if err := s.Decode(b); err != nil {
		return s, fmt.Errorf("REQUEST SENSE: %w", err)
	}
	return s, nil
}
