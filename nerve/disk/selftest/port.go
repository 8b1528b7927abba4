package selftest

import (
	"context"

	"glia/nerve/disk/smart"
)

// port is an open disk with the memory for its answers.
type port struct {
	disk *smart.Device
	page []byte
}

// New asks an open disk, which it takes over. The disk must have been opened for self-tests.
func New(d *smart.Device) Device {
	p := port{disk: d, page: make([]byte, 4096)}
	switch d.Kind() {
	case smart.KindATA:
		return &ata{port: p}
	case smart.KindNVMe:
		return &nvme{port: p}
	}
	return &scsi{port: p}
}

// ask sends a command. A look is short, and the kernel bounds each command of it.
func (p port) ask(c smart.Command) ([]byte, error) {
	return p.disk.Ask(context.Background(), c, p.page)
}

func (p port) start(c smart.Command) error {
	_, err := p.ask(c)
	return err
}

func (p port) Close() error { return p.disk.Close() }
