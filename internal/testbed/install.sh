#!/bin/sh
# Installs the Debian packages that the demo (install.sh demo, or demo-ceph), the tests (install.sh test) or
# those with a real Ceph cluster (install.sh ceph) need and that are not there yet. Prints nothing when there
# is nothing to do.
set -eu

case "${1:-}" in
demo) want="e2fsprogs xfsprogs" ;;
test) want="e2fsprogs xfsprogs lvm2 runit serf gcc libc6-dev fdisk parted util-linux procps postgresql protobuf-compiler libprotobuf-dev smartmontools openjdk-17-jre-headless libzookeeper-java libslf4j-java" ;;
ceph | demo-ceph) want="ceph-mon ceph-mgr ceph-osd ceph-common librados-dev udev gcc libc6-dev util-linux xfsprogs e2fsprogs lvm2" ;; # ceph-volume asks udev
*) echo "usage: install.sh demo|demo-ceph|test|ceph" >&2; exit 2 ;;
esac

missing=
for p in $want; do
	dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
# Consul is in Debian 11 only. It is unpacked to a folder of its own; system lists are not touched.
consul=/opt/glia-testbed/consul
[ "$1" = test ] && ! command -v consul >/dev/null 2>&1 && [ ! -x $consul/usr/bin/consul ] || consul=
[ -n "$missing$consul" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "install.sh: not a Debian system; install by hand:$missing ${consul:+consul}" >&2
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
echo "Installing$missing ${consul:+consul}"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -qq -o DPkg::Lock::Timeout=600"
# shellcheck disable=SC2086 # the lists are words
[ -z "$missing" ] || $as_root $apt install -y --no-install-recommends $missing >/dev/null 2>&1 || {
	$as_root $apt update
	$as_root $apt install -y --no-install-recommends $missing >/dev/null
}
[ -n "$consul" ] || exit 0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
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
