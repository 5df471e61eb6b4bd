#!/bin/sh
#
# build32.sh SRCDIR: build for 32 bits and run make check there.
#
# The compiler and the libraries are Debian's for i386, in a root directory of
# their own (./root32, kept for the next time): the system around is not
# changed. Needs root, debootstrap and a Debian mirror. Works in the current
# directory. Exit status 77: something of that is missing.

set -e
srcdir=$1
root=$PWD/root32
suite=bookworm
mirror=${POSTERN_MIRROR:-http://deb.debian.org/debian}

if test "$(id -u)" != 0 || ! command -v debootstrap >/dev/null; then
	echo "build32: needs root and debootstrap: skipped" >&2
	exit 77
fi

# Only what builds: the servers around us are for tests from outside.
packages=$("$srcdir/run-tests" --list-packages |
    grep -E '^(autoconf|automake|gcc|make|pkg-config|git|python3.*)$|-dev$' |
    grep -v clang | sort -u)
if test ! -f "$root/ready"; then
	rm -rf "$root"
	debootstrap --arch=i386 --variant=minbase "$suite" "$root" "$mirror"
	touch "$root/ready"
fi
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive chroot "$root" \
    apt-get install -y --no-install-recommends $packages >/dev/null

rm -rf "$root/build" "$root/source"
mkdir "$root/build" "$root/source"
(cd "$srcdir" && tar cf - --exclude=./build --exclude=./.git .) |
    tar xf - -C "$root/source"
# Tests look at processes and make random numbers.
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
trap 'umount "$root/dev" "$root/proc"' EXIT
trap 'exit 1' HUP INT TERM
chroot "$root" /usr/bin/setarch i686 /bin/sh -ec '
	cd /source && autoreconf -fi
	cd /build && ../source/configure --enable-werror
	make -j2
	file=posternd
	od -An -tu1 -j4 -N1 "$file" | grep -q 1 # ELFCLASS32
	make -j2 check'
