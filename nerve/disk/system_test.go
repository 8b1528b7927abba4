package disk_test

import "testing"

// threeDisks are sda and sdb with two partitions each, and sdc without any.
func threeDisks(h *host) {
	h.sata("sda", "A", 1)
	h.sata("sdb", "B", 2)
	h.sata("sdc", "C", 3)
	for _, d := range []string{"sda", "sdb"} {
		h.part(d, d+"1", 1, 2048, 4096)
		h.part(d, d+"2", 2, 8192, 4096)
	}
}

func TestSource_ProtectsWhatCarriesTheSystem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		a, b, c string // why sda, sdb and sdc are protected
		set     func(*host)
	}{
		{"MBR root disk", "carries / (on sda1)", "", "", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.mount("sdc", "/var/lib/data", "xfs")
		}},
		{"both processes see the same", "carries / (on sda1)", "", "", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.line("proc/1/mountinfo", "30 1 "+h.nums["sda1"]+" / / rw - ext4 /dev/sda1 rw")
		}},
		{"whole disk", "", "", "carries / (on sdc)", func(h *host) { h.mount("sdc", "/", "ext4") }},
		{"LVM on a mirror", "carries / (on vg0-root, on md0, on sda2); carries /boot (on sda1)", "carries / (on vg0-root, on md0, on sdb2)", "", func(h *host) {
			h.on("md0", "sda2", "sdb2")
			h.mapped("dm-0", "vg0-root", "LVM-abc", "md0")
			h.mount("dm-0", "/", "ext4")
			h.mount("sda1", "/boot", "ext4")
		}},
		{"partition of a mirror", "carries / (on md0p1, on md0, on sda2)", "", "", func(h *host) {
			h.on("md0", "sda2")
			h.part("md0", "md0p1", 1, 8, 16)
			h.mount("md0p1", "/", "ext4")
		}},
		{"EFI, /usr and /var apart", "carries / (on sda1); carries /var (on sda2)", "carries /boot/efi (on sdb1)", "carries /usr (on sdc)", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.mount("sda2", "/var", "ext4")
			h.mount("sdb1", "/boot/efi", "vfat")
			h.mount("sdc", "/usr", "ext4")
		}},
		{"encrypted swap", "carries / (on sda1)", "carries swap (on cryptswap, on sdb2)", "", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.mapped("dm-0", "cryptswap", "CRYPT-PLAIN-x", "sdb2")
			h.swap("/dev/mapper/cryptswap", "partition")
		}},
		{"swap file", "carries / (on sda1)", "", `carries swap file /data/swap 1 (on sdc)`, func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.mount("sdc", "/data", "xfs")
			h.swap(`/data/swap\0401`, "file")
		}},
		{"swap file on the uppermost mount", "carries / (on sda1)", "", "carries swap file /data/swap (on sdc)", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.mount("sdb1", "/data", "xfs")
			h.mount("sdc", "/data", "xfs")
			h.swap("/data/swap", "file")
		}},
		{"EFI partition of systemd", "carries / (on sda1)", "carries /efi (on sdb1)", "", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.mount("sdb1", "/efi", "vfat")
		}},
		{"live system, its image on the network", "", "", "", func(h *host) {
			h.mountLine("0:33", "/", "/run/image", "nfs", "10.0.0.1:/images", "ro")
			h.loop("loop0", "/run/image/root.squashfs")
			h.mount("loop0", "/", "squashfs")
		}},
		{"live system, its image on a disk", "", "carries / (on loop0, on sdb1)", "", func(h *host) {
			h.mount("sdb1", "/run/image", "ext4")
			h.loop("loop0", "/run/image/root.squashfs")
			h.mount("loop0", "/", "squashfs")
		}},
		{"swap on a loop device", "carries / (on sda1)", "", "carries swap (on loop0)", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.mount("sdc", "/data", "xfs")
			h.loop("loop0", "/data/swap.img")
			h.swap("/dev/loop0", "partition")
		}},
		{"swap in memory", "carries / (on sda1)", "", "", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.on("zram0")
			h.swap("/dev/zram0", "partition")
		}},
		{"btrfs names one of its members", "carries / (on sda2)", "carries / (on sdb2)", "", func(h *host) {
			h.mountLine("0:33", "/@", "/", "btrfs", "/dev/sda2", "rw")
			h.link("sys/fs/btrfs/6dc0/devices/sda2", h.dirs["sda2"])
			h.link("sys/fs/btrfs/6dc0/devices/sdb2", h.dirs["sdb2"])
		}},
		{"bcachefs names all", "carries / (on sda2)", "carries / (on sdb2)", "", func(h *host) {
			h.mountLine("0:33", "/", "/", "bcachefs", "/dev/sda2:/dev/sdb2", "rw")
		}},
		{"overlay on a read-only root", "", "carries / (on sdb1)", "", func(h *host) {
			h.mountLine("0:34", "/", "/", "overlay", "overlayroot", "rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/up,workdir=/media/root-rw/work")
			h.mount("sdb1", "/media/root-ro", "ext4")
			h.mountLine("0:35", "/", "/media/root-rw", "tmpfs", "tmpfs", "rw")
		}},
		{"diskless", "", "", "", func(h *host) { h.mountLine("0:33", "/", "/", "nfs4", "10.0.0.1:/root", "rw") }},
		{"cluster manager's files in /etc", "carries / (on sda1)", "", "", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.mountLine("0:50", "/", "/etc/pve", "fuse", "/dev/fuse", "rw")
		}},
		{"container that shows the host's /etc/hosts", "carries / (on sda1)", "carries /etc/hosts (on sdb1)", "", func(h *host) {
			h.mount("sda1", "/", "ext4")
			h.mountLine(h.nums["sdb1"], "/var/lib/x/hosts", "/etc/hosts", "ext4", "/dev/sdb1", "rw")
		}},
		{"the first process sees another /", "carries / (on sda1)", "", "", func(h *host) {
			h.mountLine("0:33", "/", "/", "overlay", "overlay", "rw,lowerdir=/l,upperdir=/u,workdir=/w")
			h.line("proc/1/mountinfo", "30 1 "+h.nums["sda1"]+" / / rw - ext4 /dev/sda1 rw")
		}},
	} {
		h := newHost(t)
		threeDisks(h)
		c.set(h)
		d := h.disks()
		equal(t, c.name+": sda", d["A"].Protected, c.a)
		equal(t, c.name+": sdb", d["B"].Protected, c.b)
		equal(t, c.name+": sdc", d["C"].Protected, c.c)
	}
}

// Where it is not known which disks carry the system, all that might are protected. sda has two
// partitions mounted, sdb is as the case says, sdc is bare.
func TestSource_ProtectsWhatMightCarryTheSystem(t *testing.T) {
	t.Parallel()
	const zfs = "the disks that carry / (zfs rpool/ROOT/pve-1) are not known, and "
	onZFS := func(h *host) { h.mountLine("0:33", "/", "/", "zfs", "rpool/ROOT/pve-1", "rw") }
	for _, c := range []struct {
		name, b, c string
		set        func(*host)
	}{
		{"no udev", zfs + "sdb1 may be one of them", zfs + "sdc may be one of them", onZFS},
		{"udev knows the members", zfs + "sdb2 may be one of them", "", func(h *host) {
			onZFS(h)
			h.udev("sdb1", "E:ID_FS_TYPE=vfat")
			h.udev("sdb2", "E:ID_FS_TYPE=zfs_member")
			h.udev("sdc", "E:ID_SERIAL_SHORT=C")
		}},
		{"a Ceph OSD is none", "", "", func(h *host) {
			onZFS(h)
			h.mapped("dm-0", "ceph-block", "LVM-abc", "sdb1", "sdb2")
			h.udev("dm-0", "E:ID_FS_TYPE=ceph_bluestore")
			h.udev("sdc")
		}},
		{"mapped devices may be out of udev's sight", zfs + "vg-x may be one of them", "", func(h *host) {
			onZFS(h)
			h.mapped("dm-0", "vg-x", "LVM-abc", "sdb1", "sdb2")
			h.udev("dm-0", "E:DM_NAME=vg-x")
			h.udev("sdc")
		}},
		{"container", "the disks that carry / (overlay overlay) are not known, and sdb2 may be one of them", "", func(h *host) {
			h.mountLine("0:33", "/", "/", "overlay", "overlay", "rw,lowerdir=/l,upperdir=/u,workdir=/w")
			h.mountLine(h.nums["sdb1"], "/", "/data/sdb1", "ext4", "/dev/sdb1", "rw")
			h.mountLine(h.nums["sdb2"], "/srv", "/srv", "ext4", "/dev/sdb2", "rw") // a directory of some host's disk
			h.mountLine(h.nums["sdc"], "/", "/data/sdc", "ext4", "/dev/sdc", "rw")
		}},
		{"no root in sight", "the disks that carry / are not known, and sdb1 may be one of them", "the disks that carry / are not known, and sdc may be one of them", func(*host) {}},
		{"root device that is gone", "the disks that carry / (ext4 /dev/root) are not known, and sdb1 may be one of them", "", func(h *host) {
			h.mountLine("9:99", "/", "/", "ext4", "/dev/root", "rw")
			h.udev("sdc")
		}},
		{"btrfs from a device that has no name", "the disks that carry / (btrfs /dev/root) are not known, and sdb2 may be one of them", "", func(h *host) {
			h.mountLine("0:33", "/", "/", "btrfs", "/dev/root", "rw")
			h.udev("sdb1", "E:ID_FS_TYPE=ext4")
			h.udev("sdb2", "E:ID_FS_TYPE=btrfs")
			h.udev("sdc", "E:ID_FS_TYPE=zfs_member")
		}},
		{"overlay with a layer on a hidden mount", "the disks that carry / (overlay /dev/sda1) are not known, and sdb2 may be one of them", "", func(h *host) {
			h.mountLine("0:33", "/", "/", "overlay", "/dev/sda1", "rw,lowerdir=/run/l:/elsewhere,upperdir=/run/u,workdir=/run/w")
			h.mountLine("0:35", "/", "/run", "tmpfs", "tmpfs", "rw")
			h.udev("sdb1", "E:ID_FS_TYPE=ceph_bluestore")
			h.udev("sdc")
		}},
		{"swap on a ZFS volume", "the disks that carry swap (swap /dev/zd0) are not known, and sdb1 may be one of them", "carries / (on sdc)", func(h *host) {
			h.mount("sdc", "/", "ext4")
			h.on("zd0")
			h.swap("/dev/zd0", "partition")
		}},
		{"swap that is gone", "the disks that carry swap (swap /dev/sdx1) are not known, and sdb1 may be one of them", "carries / (on sdc)", func(h *host) {
			h.mount("sdc", "/", "ext4")
			h.swap("/dev/sdx1", "partition")
		}},
		{"automounted boot partition", "the disks that carry /boot (autofs systemd-1) are not known, and sdb1 may be one of them", "carries / (on sdc)", func(h *host) {
			h.mount("sdc", "/", "ext4")
			h.mountLine("0:44", "/", "/boot", "autofs", "systemd-1", "rw")
		}},
		{"automounted and mounted", "carries /boot (on sdb1)", "carries / (on sdc)", func(h *host) {
			h.mount("sdc", "/", "ext4")
			h.mountLine("0:44", "/", "/boot", "autofs", "systemd-1", "rw")
			h.mount("sdb1", "/boot", "vfat")
		}},
		{"the host's / is hidden, the container's is not", zfs + "sdb1 may be one of them", "carries / (on sdc)", func(h *host) {
			h.mount("sdc", "/", "ext4")
			h.line("proc/1/mountinfo", "30 1 0:33 / / rw - zfs rpool/ROOT/pve-1 rw")
		}},
	} {
		h := newHost(t)
		threeDisks(h)
		h.mount("sda1", "/data/1", "xfs")
		h.mount("sda2", "/data/2", "xfs")
		h.loop("loop0", "/data/1/bay1/L.img")
		c.set(h)
		d := h.disks("/data/1/*/*")
		equal(t, c.name+": sda", d["A"].Protected, "")
		equal(t, c.name+": a loop disk", d["L"].Protected, "")
		equal(t, c.name+": sdb", d["B"].Protected, c.b)
		equal(t, c.name+": sdc", d["C"].Protected, c.c)
	}
}
