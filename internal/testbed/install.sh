#!/bin/sh
# Installs the Debian packages that the demo (install.sh demo, or demo-ceph), the tests (install.sh test), those
# with a real Ceph cluster (install.sh ceph) or those with machines in QEMU (install.sh lab) need and that are not
# there yet. Prints nothing when there is nothing to do.
set -eu

case "${1:-}" in
demo) want="e2fsprogs xfsprogs" ;;
test) want="e2fsprogs xfsprogs lvm2 runit serf gcc libc6-dev fdisk parted util-linux procps postgresql protobuf-compiler libprotobuf-dev smartmontools openjdk-17-jre-headless libzookeeper-java libslf4j-java haproxy mariadb-server-core mariadb-client-core rabbitmq-server python3-jira redmine redmine-sqlite puma" ;;
ceph | demo-ceph) want="ceph-mon ceph-mgr ceph-osd ceph-common librados-dev udev gcc libc6-dev util-linux xfsprogs e2fsprogs lvm2" ;; # ceph-volume asks udev
lab) want="qemu-system-x86 busybox-static e2fsprogs xfsprogs lvm2 smartmontools xz-utils" ;;
*) echo "usage: install.sh demo|demo-ceph|test|ceph|lab" >&2; exit 2 ;;
esac

missing=
for p in $want; do
	dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
# Consul is in Debian 11 only. It is unpacked to a folder of its own; system lists are not touched.
consul=/opt/glia-testbed/consul
[ "$1" = test ] && ! command -v consul >/dev/null 2>&1 && [ ! -x $consul/usr/bin/consul ] || consul=
# The kernel of the lab's machines is unpacked to a folder of its own, and not installed.
kernel=/opt/glia-testbed/lab
[ "$1" = lab ] && [ ! -e $kernel/vmlinux ] || kernel=
[ -n "$missing$consul$kernel" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "install.sh: not a Debian system; install by hand:$missing ${consul:+consul} ${kernel:+linux-image-amd64}" >&2
	exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
	case "$1" in
	demo*)
		echo "Not root, so loop devices can not be used, nor$missing installed."
		exit 0
		;;
	esac
	as_root=sudo
fi
echo "Installing$missing ${consul:+consul} ${kernel:+linux-image-amd64}"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -qq -o DPkg::Lock::Timeout=600"
# Redmine comes with the database that its tests copy, if it is told to make one.
case "$missing" in *redmine*)
	printf 'redmine redmine/instances/default/%s\n' 'dbconfig-install boolean true' 'database-type select sqlite3' | $as_root debconf-set-selections
esac
install_missing() (
	# Where dpkg's scripts would start what they install, this file tells them not to.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap '$as_root rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' | $as_root sh -c "cat >$policy && chmod 755 $policy"
	fi
	# shellcheck disable=SC2086 # the lists are words
	$as_root $apt install -y --no-install-recommends $missing >/dev/null 2>&1 || {
		$as_root $apt update
		$as_root $apt install -y --no-install-recommends $missing >/dev/null
	}
)
[ -z "$missing" ] || install_missing
[ -n "$consul$kernel" ] || exit 0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if [ -n "$kernel" ]; then
	cd "$tmp"
	newest() { apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1; }
	fetch() { $apt -o APT::Sandbox::User=root download "$(newest)" >/dev/null 2>&1; }
	fetch || { $as_root $apt update && fetch; } || {
		echo "install.sh: no kernel can be had; the tests of the lab are skipped" >&2
		exit 0
	}
	mkdir lab
	parts='./boot/vmlinuz-*'
	for d in arch block crypto lib fs net/core drivers/ata drivers/block drivers/char/hw_random drivers/md drivers/net/virtio_net.ko drivers/net/net_failover.ko drivers/nvme drivers/scsi drivers/virtio; do
		parts="$parts ./lib/modules/*/kernel/$d*"
	done
	deb=$(ls linux-image-*.deb)
	set -f # the patterns are for tar
	# shellcheck disable=SC2086 # they are words
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C lab --wildcards $parts
	set +f
	# The ELF file inside boots at once; the machine would take seconds to decompress it.
	at=$(LC_ALL=C grep -aboP -m 1 '\xfd7zXZ\x00' lab/boot/vmlinuz-* | head -n 1 | cut -d : -f 1)
	tail -c +$((at + 1)) lab/boot/vmlinuz-* | xz -dc --single-stream >lab/vmlinux 2>/dev/null || true # rubbish follows
	head -c 4 lab/vmlinux | grep -q ELF || { echo "install.sh: no kernel in $(ls lab/boot)" >&2; exit 1; }
	$as_root mkdir -p "$(dirname "$kernel")"
	$as_root rm -rf "$kernel"
	$as_root cp -r lab "$kernel"
	exit 0
fi
mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial"
sed -n -e 's/^Suites:.*/Suites: bullseye/' -e '/^$/q' -e p /etc/apt/sources.list.d/debian.sources >"$tmp/bullseye.sources"
private="$apt -o Dir::Etc::sourcelist=$tmp/bullseye.sources -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$tmp/lists -o Dir::Cache=$tmp/cache -o APT::Sandbox::User=root"
cd "$tmp"
if $private update && $private download consul && dpkg -x consul_*.deb root; then
	$as_root mkdir -p "$(dirname "$consul")"
	$as_root cp -r root "$consul"
else
	echo "install.sh: Consul can not be had from Debian 11; its tests are skipped" >&2
fi
