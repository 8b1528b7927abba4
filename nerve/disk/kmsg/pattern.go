package kmsg

import (
	"regexp"
	"strings"
)

// Kind is what a message tells.
type Kind string

// The kinds. The last two are no faults: they tell that what was said of a name before is over.
const (
	MediumError     Kind = "medium error"
	IOError         Kind = "I/O error"
	LinkReset       Kind = "link reset"
	ControllerReset Kind = "controller reset"
	ReadOnly        Kind = "filesystem made read-only"
	Shutdown        Kind = "filesystem shut down"
	Requested       Kind = "filesystem shut down on request" // of a person, by ioctl; no fault
	Mounted         Kind = "filesystem mounted or unmounted"
	Attached        Kind = "name taken by a device"
)

// Pattern is one text of the kernel.
type Pattern struct {
	Kind   Kind
	Has    string         // part of every such text; looked for first, because it is cheap
	Regexp *regexp.Regexp // its only group is what the message is about: see Names
	Source string         // file and function in the kernel's sources, and the versions that word it so
}

// Before Linux 5.17 the function's name is in front of what blk_print_req_error says.
const request = `^(?:(?:end_request|blk_update_request|print_req_error|blk_print_req_error): )?`

// operation is what follows the sector. Commands that are optional, such as DISCARD and WRITE_ZEROES, are
// no faults when they go wrong; kernels before 4.20 do not tell which command it was.
const operation = `, sector \d+(?: op 0x[0-9a-f]+:\((?:READ|WRITE|FLUSH)\)| flags [0-9a-f]+$|$)`

// Patterns are all texts that are looked for; the first that fits counts. Only what the kernel says of a
// request to a device is a fault of the device. "Buffer I/O error" is not among them: it repeats such a
// message for the layer above, and comes alone when that layer is at fault (a snapshot that has
// overflowed) or the device was pulled.
var Patterns = []Pattern{
	{MediumError, "critical medium error", re(request + `critical medium error, dev ([^,\s]+)` + operation),
		"block/blk-core.c blk_errors, block/blk-mq.c blk_print_req_error, 3.2 to 6.18; NVMe and SCSI disks that name the medium"},
	// The disk or its driver gave no better reason. Left out: "operation not supported", "critical space
	// allocation", "critical nexus", "reservation conflict", "device offline" and what is tried again.
	{IOError, " error, dev ", re(request + `(?:I/O|timeout|recoverable transport|link|critical target|protection) error, dev ([^,\s]+)` + operation),
		"the same"},

	{LinkReset, "resetting link", re(`^(ata\d+)(?:\.\d\d)?: (?:hard|soft) resetting link`),
		"drivers/ata/libata-eh.c ata_eh_reset, 2.6.24 to 6.18; not printed while a port is first looked at"},
	{LinkReset, "attempting device reset!", re(`^s[dr] (\d+:\d+:\d+:\d+): (?:\[\w+\] )?(?:tag#\d+ )?attempting device reset!`),
		"drivers/scsi/mpt3sas/mpt3sas_scsih.c scsih_dev_reset, 3.x to 6.18"},
	{LinkReset, "attempting target reset!", re(`^scsi (target\d+:\d+:\d+): attempting target reset!`),
		"drivers/scsi/mpt3sas/mpt3sas_scsih.c scsih_target_reset, 3.x to 6.18"},
	{LinkReset, "resetting", re(`^hpsa \S+: scsi (\d+:\d+:\d+:\d+): resetting `),
		"drivers/scsi/hpsa.c hpsa_eh_device_reset_handler, 4.3 to 6.18"},

	{ControllerReset, "reset controller", re(`^nvme (nvme\d+): I/O (?:tag )?\d+ .*timeout, reset controller`),
		"drivers/nvme/host/pci.c nvme_timeout, 4.5 to 6.18; with opcode and tag since 6.2"},
	{ControllerReset, "controller is down; will reset", re(`^nvme (nvme\d+): controller is down; will reset`),
		"drivers/nvme/host/pci.c nvme_warn_reset, 4.8 to 6.18"},
	{ControllerReset, "sending diag reset", re(`^(mpt[23]sas(?:_cm)?\d+): sending diag reset`),
		"drivers/scsi/mpt3sas/mpt3sas_base.c _base_diag_reset, 2.6.36 to 6.18; with _cm since 4.4"},
	{ControllerReset, "resetting fusion adapter", re(`^megaraid_sas ([0-9a-f:.]+): resetting fusion adapter`),
		"drivers/scsi/megaraid/megaraid_sas_fusion.c megasas_reset_fusion, 4.4 to 6.18"},
	{ControllerReset, "ontroller lockup detected", re(`^hpsa ([0-9a-f:.]+): [Cc]ontroller lockup detected`),
		"drivers/scsi/hpsa.c controller_lockup_detected, 3.3 to 6.18"},

	{ReadOnly, "Remounting filesystem read-only", re(`^EXT4-fs \(([^)]+)\): Remounting filesystem read-only`),
		"fs/ext4/super.c ext4_handle_error, 2.6.28 to 6.18"},
	// What btrfs says then, "forced readonly", is left out: it does that for want of space, too.
	{ReadOnly, "IO failure", re(`^BTRFS:? error \(device ([^\s:)]+)[^)]*\) in .*: errno=-5 IO failure`),
		"fs/btrfs/messages.c and super.c __btrfs_handle_fs_error, 3.18 to 6.18; with the filesystem's state since 5.18"},
	// XFS since about 5.15 tells of the shutdown itself after it, as of any other. Older ones had all in one line.
	{Requested, "User initiated shutdown", re(`^XFS \(([^)]+)\): User initiated shutdown received`),
		"fs/xfs/xfs_fsops.c xfs_do_force_shutdown, for XFS_IOC_GOINGDOWN, 5.10 to 6.18"},
	{Requested, "shut down requested", re(`^EXT4-fs \(([^)]+)\): shut down requested \(\d+\)`),
		"fs/ext4/ioctl.c ext4_force_shutdown, for EXT4_IOC_SHUTDOWN and for a device that is taken away, 4.11 to 6.18"},
	{Shutdown, "Shutting down filesystem", re(`^XFS \(([^)]+)\): .*Shutting down filesystem`),
		"fs/xfs/xfs_fsops.c xfs_do_force_shutdown, 2.6.39 to 6.18"},
	{Shutdown, "xfs_do_force_shutdown", re(`^XFS \(([^)]+)\): xfs_do_force_shutdown\(0x[0-9a-f]+\) called`),
		"fs/xfs/xfs_fsops.c xfs_do_force_shutdown, 2.6.39 to 5.15"},
	{Shutdown, "Filesystem has been shut down", re(`^XFS \(([^)]+)\): Filesystem has been shut down`),
		"fs/xfs/xfs_log.c xlog_force_shutdown, 5.17 to 6.18"},

	{Mounted, "ounted", re(`^EXT4-fs \(([^)]+)\): (?:re-)?mounted`), "fs/ext4/super.c __ext4_fill_super and ext4_reconfigure, 2.6.28 to 6.18"},
	{Mounted, "unmounting", re(`^EXT4-fs \(([^)]+)\): unmounting`), "fs/ext4/super.c ext4_put_super, 5.19 to 6.18"},
	{Mounted, "ounting", re(`^XFS \(([^)]+)\): (?:Mounting V\d |Unmounting )`), "fs/xfs/xfs_log.c xfs_log_mount and fs/xfs/xfs_super.c, 2.6.39 to 6.18"},
	{Mounted, "mount of filesystem", re(`^BTRFS[^(]*\(device ([^\s:)]+)[^)]*\): (?:first |last un)mount of filesystem`), "fs/btrfs/disk-io.c and super.c, 6.1 to 6.18"},

	{Attached, "Attached SCSI", re(`^sd \S+: \[(sd[a-z]+)\] Attached SCSI (?:removable )?disk`), "drivers/scsi/sd.c sd_probe, 2.6.12 to 6.18"},
	{Attached, ": Direct-Access", re(`^scsi (\d+:\d+:\d+:\d+): Direct-Access`), "drivers/scsi/scsi_scan.c scsi_add_lun, 2.6 to 6.18"},
	{Attached, ": ATA-", re(`^(ata\d+)\.\d\d: ATA-\d+: `), "drivers/ata/libata-core.c ata_dev_configure, 2.6.24 to 6.18"},
	{Attached, "pci function", re(`^nvme (nvme\d+): pci function `), "drivers/nvme/host/pci.c nvme_probe, 4.0 to 6.18"},
	{Attached, "logical blocks", re(`^virtio_blk \S+: \[(vd[a-z]+)\] \d+ \S+ logical blocks`), "drivers/block/virtio_blk.c virtblk_update_capacity, 2.6.39 to 6.18; a device that grows says it too"},
	{Attached, "detected capacity change from 0 to", re(`^(loop\d+): detected capacity change from 0 to`), "block/genhd.c set_capacity_and_notify, 5.11 to 6.18"},
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

// Classify tells what kind of message a record is and what it is about, in the kernel's words: the name of
// a block device, or one of the other names in Names. Most messages are none of these.
func Classify(r Record) (kind Kind, about string, ok bool) {
	if r.Facility != 0 {
		return "", "", false
	}
	for _, p := range Patterns {
		if !strings.Contains(r.Text, p.Has) {
			continue
		}
		if m := p.Regexp.FindStringSubmatch(r.Text); m != nil {
			return p.Kind, m[1], true
		}
	}
	return "", "", false
}

// Within says whether a name is of the device with the name whole: itself, a partition of it, or a
// namespace of an NVMe controller.
func Within(name, whole string) bool {
	rest, ok := strings.CutPrefix(name, whole)
	if !ok || rest == "" {
		return ok
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	if digit(whole[len(whole)-1]) { // loop1 and loop1p2, not loop10; nvme0 and nvme0n1
		return rest[0] == 'p' || rest[0] == 'n'
	}
	return digit(rest[0]) // sda and sda1, not sdaa
}
