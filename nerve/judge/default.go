package judge

import (
	"time"

	"glia"
)

// quiet is how long a counter must stand still until its growth is forgiven. Growth a week is what disks
// are watched for; a counter that did not move for that long tells of something that is over.
const quiet = 7 * 24 * time.Hour

// Default is the rule set that is used unless the configuration says otherwise. Three probes in a row decide in
// either direction, as in nerve and HAProxy.
//
// Faults that a disk or the kernel states as facts make a disk failed or failing by themselves. Counters do not:
// about 4 % of working disks have at least one of the SMART attributes 5, 187, 188, 197 and 198 above zero
// (Backblaze, 2016, 67 814 disks), while some 1.5 % of all disks fail in a year, so that most disks with such
// an attribute are not failing ones. That is why only growth is looked at, and why it makes a disk suspect.
// Age is no rule at all.
func Default() RuleSet {
	return RuleSet{Fall: 3, Rise: 3, Rules: []Rule{
		// Facts. One is one too many: neither a healthy disk nor a healthy filesystem ever answers so.
		{Name: "read-errors", What: "read.errors", Class: glia.Media, State: glia.StateFailed,
			Words: "parts of the disk can not be read; replace it"},
		{Name: "readback-errors", What: "fs.readback_errors", Class: glia.Filesystem, State: glia.StateFailed,
			Words: "what was written to the disk can not be read back as it was; replace it"},
		{Name: "write-errors", What: "fs.write_errors", Class: glia.Filesystem, State: glia.StateFailed,
			Words: "the disk can not be written; replace it"},
		{Name: "write-refused", What: "fs.write_erofs", Class: glia.Filesystem, State: glia.StateFailed,
			Words: "the filesystem refuses writing although it is mounted for it; replace the disk if the kernel log shows I/O errors"},
		{Name: "readonly", What: "fs.readonly", Class: glia.Filesystem, State: glia.StateFailed,
			Words: "the kernel has made the filesystem read-only after an error; replace the disk if its log shows I/O errors"},
		{Name: "statfs-errors", What: "fs.statfs_errors", Class: glia.Filesystem, State: glia.StateFailed,
			Words: "the filesystem does not answer any more; replace the disk if the kernel log shows I/O errors"},

		// NVM Express Base Specification, critical warning, bits 3, 2, 4 and 0: the disk's own statement.
		{Name: "nvme-readonly", What: "nvme.readonly", Class: glia.Media, State: glia.StateFailed,
			Words: "the disk has made itself read-only; replace it"},
		{Name: "nvme-reliability", What: "nvme.reliability", Class: glia.Media, State: glia.StateFailed,
			Words: "the disk says that it is not reliable any more; replace it"},
		{Name: "nvme-backup-failed", What: "nvme.backup_failed", Class: glia.Media, State: glia.StateFailing,
			Words: "the disk can not save its cache at a loss of power; replace it"},
		{Name: "nvme-spare-low", What: "nvme.spare_low", Class: glia.Wear, State: glia.StateWorn,
			Words: "the disk has nearly used up its spare blocks; plan its replacement"},
		// The same specification: 100 means that the rated endurance is used, not that the disk has failed.
		{Name: "nvme-worn", What: "nvme.percentage_used", Class: glia.Wear, Above: 99, State: glia.StateWorn,
			Words: "the disk has used up its rated endurance; plan its replacement"},
		// ATA: a prefail attribute at or below its maker's threshold means failure within 24 hours (SFF-8035i).
		{Name: "ata-prefail", What: "ata.prefail_attributes", Class: glia.Media, State: glia.StateFailing,
			Words: "the disk predicts its own failure; replace it"},

		// Growth. smartd mails at any growth of 197 and 198 ("+") and of media errors ("-f").
		{Name: "nvme-media-errors", What: "nvme.media_errors", Class: glia.Media, Growth: true, Quiet: quiet, State: glia.StateSuspect,
			Words: "the disk meets new media errors; watch it"},
		{Name: "ata-pending", What: "ata.pending", Class: glia.Media, Growth: true, Quiet: quiet, State: glia.StateSuspect,
			Words: "the disk has new sectors that it can not read; watch it"},
		{Name: "ata-offline-uncorrectable", What: "ata.offline_uncorrectable", Class: glia.Media, Growth: true, Quiet: quiet, State: glia.StateSuspect,
			Words: "the disk's own scan finds new sectors that it can not read; watch it"},
		{Name: "ata-reported-uncorrectable", What: "ata.reported_uncorrectable", Class: glia.Media, Growth: true, Quiet: quiet, State: glia.StateSuspect,
			Words: "the disk reports new errors that it could not correct; watch it"},
		{Name: "ata-reallocated", What: "ata.reallocated", Class: glia.Media, Growth: true, Quiet: quiet, State: glia.StateSuspect,
			Words: "the disk replaces sectors by spare ones; watch it"},
		// ext4 counts damage that it finds, whoever did it: a disk, memory, a bug. fsck comes before the screwdriver.
		{Name: "ext4-errors", What: "fs.errors", Class: glia.Filesystem, Growth: true, Quiet: quiet, State: glia.StateSuspect,
			Words: "ext4 finds new errors in its structures; check the filesystem before the disk"},

		// Cables and cooling.
		{Name: "ata-crc", What: "ata.crc_errors", Class: glia.Interface, Growth: true, Quiet: quiet, State: glia.StateSuspect,
			Words: "data is damaged between disk and controller; reseat or replace the cable, not the disk"},
		{Name: "kernel-timeouts", What: "kernel.iotmo_cnt", Class: glia.Interface, Growth: true, Quiet: quiet, State: glia.StateSuspect,
			Words: "commands to the disk time out; look at cable, backplane and controller before the disk"},
		{Name: "kernel-gave-up", What: "kernel.device_state", Class: glia.Interface, State: glia.StateSuspect,
			Words: "the kernel has given the device up; reseat it, and look at cable, power and controller"},
		{Name: "nvme-temperature", What: "nvme.temperature", Class: glia.Thermal, State: glia.StateSuspect,
			Words: "the disk is outside its temperature limits; look at the cooling"},
		// Makers allow hard disks 60 °C and SATA SSDs 70 °C while they run; the rule stands between the two.
		{Name: "ata-temperature", What: "ata.temperature", Class: glia.Thermal, Above: 65, State: glia.StateSuspect,
			Words: "the disk is too hot; look at the cooling"},

		// kernel.ioerr_cnt has no rule: it grows with every command that a disk does not support.
	}}
}
