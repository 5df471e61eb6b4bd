#!/bin/sh
#
# install-configure: make each NAME from its NAME.dist where there is no NAME.
# A file that is there is never touched.
#
# install-configure.sh DIR GROUP MODE NAME...

dir=$1
group=$2
mode=$3
shift 3

for name; do
	file=$dir/$name
	if test -e "$file" || test -h "$file"; then
		echo "$file: kept"
		continue
	fi
	if test ! -f "$file.dist"; then
		echo "$file.dist does not exist, forgot make install?" >&2
		exit 1
	fi
	# The secret must not be readable for a moment under any name.
	(umask 077 && cp "$file.dist" "$file.new") || exit 1
	if test "$(id -u)" = 0 && test -n "$group"; then
		chgrp "$group" "$file.new" || exit 1
	fi
	chmod "$mode" "$file.new" || exit 1
	mv "$file.new" "$file" || exit 1
	echo "$file: new"
done
