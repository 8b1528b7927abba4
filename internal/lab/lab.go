// Package lab boots tiny machines in QEMU whose disks fail for real: Debian's kernel, busybox and a nerve,
// with NVMe, SATA and SCSI disks that are files of this machine. What fails is injected below the device
// (see Inject and the methods beside it), so that kernel, filesystems and nerve meet it as they meet a bad disk.
//
// A machine is emulated in software on purpose, so that it behaves the same where there is no KVM. It needs
// neither root nor a network: it is reached through ports that QEMU forwards from loopback, and can itself reach
// nothing. A machine ends with its Machine, or with the process that booted it.
//
// It fails with ErrNotInstalled where QEMU or the kernel is missing; internal/testbed/install.sh lab installs
// them. A machine that does not come up in time fails with what it has said on its console.
package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// ErrNotInstalled says that what machines are made of is not on this machine.
var ErrNotInstalled = errors.New("the lab is not installed; run internal/testbed/install.sh lab")

// home is where install.sh unpacks the kernel and its modules to.
const home = "/opt/glia-testbed/lab"

const (
	emulator = "qemu-system-x86_64"
	kernel   = home + "/vmlinux"
)

// Installed is nil when machines can be booted here.
func Installed() error {
	if _, err := exec.LookPath(emulator); err != nil {
		return fmt.Errorf("%w: %w", ErrNotInstalled, err)
	}
	if _, err := os.Stat(kernel); err != nil {
		return fmt.Errorf("%w: %w", ErrNotInstalled, err)
	}
	return nil
}
