#!/bin/sh
#
# install-migrate: copy the files of a courier-authlib that was installed
# elsewhere, as its own "make install-migrate" does.
#
# install-migrate.sh [-n] DIR GROUP [ROOT]
#
# -n  only say what would be done
#
# Each of authdaemonrc, authmysqlrc, authpgsqlrc, authldaprc and userdb that
# DIR doesn't have is copied there from the first of the places below that has
# it; ROOT stands before the places. The first line of the source must start
# with ##VERSION, which tells Courier's file from another program's of the same
# name. userdb, a file or a directory of files, is the admin's data and has no
# such line. The sources stay as they are.

places="/etc/courier
/etc/courier/authlib
/etc/courier-imap
/usr/lib/courier/etc
/usr/lib/courier-imap/etc
/usr/local/etc
/usr/local/etc/courier
/usr/local/courier/etc
/usr/local/lib/courier/etc
/usr/local/lib/courier-imap/etc
/usr/local/share/sqwebmail
/usr/local/etc/courier-imap"

usage() {
	echo "install-migrate: usage: [-n] DIR GROUP [ROOT]" >&2
	exit 1
}

dry=
while getopts n option; do
	case $option in
	n) dry=yes ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
case $# in
2 | 3) ;;
*) usage ;;
esac
dir=$1
group=$2
root=$3

# usable NAME SOURCE: whether that is what Courier read.
usable() {
	case $1 in
	userdb) test -f "$2" || test -d "$2" ;;
	*)
		test -f "$2" || return 1
		case $(head -n 1 "$2") in
		'##VERSION'*) return 0 ;;
		esac
		echo "$2: left, its first line is no ##VERSION"
		return 1
		;;
	esac
}

# Passwords may be in them: nobody else may read them for a moment.
copy() {
	(umask 077 && cp -R "$1" "$2.new") || exit 1
	chmod -R u=rwX,go= "$2.new" || exit 1
	# Who isn't root, or installs for another machine, does this there.
	if test "$(id -u)" = 0 && test -n "$group" &&
	    chgrp -R "$group" "$2.new" 2>/dev/null; then
		chmod -R g=rX "$2.new" || exit 1
	fi
	mv "$2.new" "$2" || exit 1
}

migrate() {
	to=$dir/$1
	if test -e "$to" || test -h "$to"; then
		echo "$to: kept"
		return
	fi
	# No place has a blank in its name.
	for place in $places; do
		if usable "$1" "$root$place/$1"; then
			echo "$to: copied from $root$place/$1"
			test -n "$dry" || copy "$root$place/$1" "$to"
			return
		fi
	done
}

test -n "$dry" || mkdir -p "$dir" || exit 1
for name in authdaemonrc authmysqlrc authpgsqlrc authldaprc userdb; do
	migrate "$name"
done
