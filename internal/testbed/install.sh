#!/bin/sh
# Installs the Debian packages that the demo (install.sh demo) or the tests (install.sh test) need and
# that are not there yet. Prints nothing when there is nothing to do.
set -eu

case "${1:-}" in
demo) want="e2fsprogs xfsprogs" ;;
test) want="e2fsprogs xfsprogs serf gcc libc6-dev fdisk parted util-linux procps postgresql protobuf-compiler libprotobuf-dev" ;;
*) echo "usage: install.sh demo|test" >&2; exit 2 ;;
esac

missing=
for p in $want; do
	dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "install.sh: not a Debian system; install by hand:$missing" >&2
	exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
	if [ "$1" = demo ]; then
		echo "Not root, so loop devices can not be used, nor$missing installed."
		exit 0
	fi
	as_root=sudo
fi
echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -qq -o DPkg::Lock::Timeout=600"
# shellcheck disable=SC2086 # the lists are words
$as_root $apt install -y --no-install-recommends $missing >/dev/null 2>&1 || {
	$as_root $apt update
	$as_root $apt install -y --no-install-recommends $missing >/dev/null
}
