package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Faults of requests to a disk.
const (
	Reads   = "read"
	Writes  = "write"
	Flushes = "flush"
)

// Critical warnings of an NVMe disk (NVM Express Base Specification 2.0, figure 207).
const (
	WarnSpare       = 1 << 0
	WarnTemperature = 1 << 1
	WarnReliability = 1 << 2
	WarnReadOnly    = 1 << 3
	WarnBackup      = 1 << 4
)

// Warn makes an NVMe disk say these critical warnings, and no others, in its health log.
func (m *Machine) Warn(id string, warnings int) error {
	return m.order(id, "warn", func(Disk) error {
		_, err := m.monitor.call("qom-set", map[string]any{"path": "/machine/peripheral/" + id, "property": "smart_critical_warning", "value": warnings})
		return err
	})
}

// Break makes the disk answer all requests of the given kinds with an error of the medium, until Heal.
func (m *Machine) Break(id string, requests ...string) error {
	return m.order(id, "break", func(d Disk) error {
		if err := m.heal(d); err != nil {
			return err
		}
		var faults []map[string]any
		for _, r := range requests {
			faults = append(faults, map[string]any{"event": "none", "iotype": r, "errno": 61 /* ENODATA, QEMU's medium error */, "once": false})
		}
		filter := map[string]any{"driver": "blkdebug", "node-name": d.filterNode(), "image": d.fileNode(), "inject-error": faults}
		if _, err := m.monitor.call("blockdev-add", filter); err != nil {
			return err
		}
		return m.putOn(d, d.filterNode())
	})
}

// Slow lets the disk complete so many requests in a second, until Heal.
func (m *Machine) Slow(id string, perSecond int) error {
	return m.order(id, "slow", func(d Disk) error { return m.throttle(d, perSecond, 0) })
}

// Hang lets the disk complete one more request, and then no other for minutes, until Heal. The kernel's timeouts
// must not run out meanwhile: QEMU ends a reset only with the requests that it holds back, and until then does
// nothing else.
func (m *Machine) Hang(id string) error {
	return m.order(id, "hang", func(d Disk) error { return m.throttle(d, 1, 1) })
}

// Heal undoes Break, Slow and Hang.
func (m *Machine) Heal(id string) error { return m.order(id, "heal", m.heal) }

func (m *Machine) heal(d Disk) error {
	if err := m.throttle(d, 0, 0); err != nil {
		return err
	}
	if err := m.putOn(d, d.fileNode()); err != nil {
		return err
	}
	return m.drop(d.filterNode())
}

// throttle lets perSecond requests pass in a second; one counts as many times as it has unit bytes, if that is
// not 0. The limit sits in the device and not in a node below it, where the reset of a controller could not
// get rid of requests that wait.
func (m *Machine) throttle(d Disk, perSecond, unit int) error {
	_, err := m.monitor.call("block_set_io_throttle", map[string]any{"id": d.ID(), "bps": 0, "bps_rd": 0, "bps_wr": 0,
		"iops": perSecond, "iops_rd": 0, "iops_wr": 0, "iops_size": unit})
	return err
}

// putOn puts the node that the device uses on another one.
func (m *Machine) putOn(d Disk, node string) error {
	_, err := m.monitor.call("blockdev-reopen", map[string]any{"options": []any{d.top(node)}})
	return err
}

// drop removes a node of the block layer if it is there.
func (m *Machine) drop(node string) error {
	there, err := m.hasNode(node)
	if err != nil || !there {
		return err
	}
	_, err = m.monitor.call("blockdev-del", map[string]any{"node-name": node})
	return err
}

// Pull pulls a disk out of its NVMe slot or SCSI backplane, and returns when QEMU has let go of it.
func (m *Machine) Pull(id string) error {
	return m.order(id, "pull", func(d Disk) error {
		if d.Bus == SATA {
			return errors.New("QEMU's SATA has no hot-plug")
		}
		if _, err := m.monitor.call("device_del", map[string]any{"id": id}); err != nil {
			return err
		}
		// The machine has to agree, and what is below the device comes free a moment after it.
		err := m.patiently("the machine does not let go of it", func() (bool, error) {
			there, err := m.hasDevice(id)
			return !there, err
		})
		if err != nil {
			return err
		}
		for _, node := range []string{d.topNode(), d.filterNode(), d.fileNode()} {
			err := m.patiently("QEMU does not let go of its image", func() (bool, error) {
				err := m.drop(node)
				if errors.Is(err, errRefused) {
					return false, nil
				}
				return err == nil, err
			})
			if err != nil {
				return err
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.disks, id)
		return nil
	})
}

// Insert puts a disk into a place that is empty.
func (m *Machine) Insert(d Disk) error {
	err := d.check()
	if err == nil && d.Bus == SATA {
		err = errors.New("QEMU's SATA has no hot-plug")
	}
	if err == nil {
		_, err = m.monitor.call("blockdev-add", d.file())
	}
	if err == nil {
		_, err = m.monitor.call("blockdev-add", d.top(d.fileNode()))
	}
	if err == nil {
		_, err = m.monitor.call("device_add", d.device())
	}
	if err != nil {
		return fmt.Errorf("%s: insert %s: %w", m.name, d.ID(), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disks[d.ID()] = d
	return nil
}

// order does something to a disk that the machine has.
func (m *Machine) order(id, what string, act func(Disk) error) error {
	m.mu.Lock()
	d, ok := m.disks[id]
	m.mu.Unlock()
	err := errors.New("no such disk")
	if ok {
		err = act(d)
	}
	if err != nil {
		return fmt.Errorf("%s: %s %s: %w", m.name, what, id, err)
	}
	return nil
}

// patiently asks until it is true.
func (m *Machine) patiently(otherwise string, ask func() (bool, error)) error {
	limit := time.After(answerWithin)
	for {
		if done, err := ask(); err != nil || done {
			return err
		}
		select {
		case <-m.ended:
			return errors.New("the machine has ended")
		case <-limit:
			return errors.New(otherwise)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m *Machine) hasDevice(id string) (bool, error) {
	return m.lists("qom-list", map[string]any{"path": "/machine/peripheral"}, "name", id)
}

func (m *Machine) hasNode(name string) (bool, error) {
	return m.lists("query-named-block-nodes", map[string]any{"flat": true}, "node-name", name)
}

// lists says whether a command that returns a list returns one thing whose key has the value.
func (m *Machine) lists(command string, arguments map[string]any, key, value string) (bool, error) {
	answer, err := m.monitor.call(command, arguments)
	if err != nil {
		return false, err
	}
	var things []map[string]any
	if err := json.Unmarshal(answer, &things); err != nil {
		return false, fmt.Errorf("%s: %w", command, err)
	}
	return slices.ContainsFunc(things, func(t map[string]any) bool { return t[key] == value }), nil
}
