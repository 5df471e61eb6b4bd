#!/bin/sh
#
# install-configure: make each NAME from its NAME.dist, and bring a NAME that
# is there up to date, as Courier's sysconftool does.
#
# install-configure.sh [-f] [-n] [-r VERSION] DIR GROUP MODE NAME...
# install-configure.sh -v
#
# -f  also if the version of NAME is that of NAME.dist, or NAME has none
# -n  only say what would be done
# -r  fail if this script is older than VERSION
# -v  print the version of this script
#
# A file has a line ##VERSION:, then sections, each begun by ##NAME:name:version.
# What is no comment in a section is its setting. The new file is NAME.dist with
# the settings of the old one; the old one becomes NAME.bak:
#   a section of the same version        keeps the old setting
#   a section of another version         gets the new one, the old as comments
#   a section that is new                gets the new one
#   a section that NAME.dist doesn't have is kept as comments
# A file that Postern didn't make, as Courier's, has other section versions:
# its settings are all kept, wherever they stood. A file without ##VERSION: is
# the admin's own, and stays as it is unless -f is given.

version=1.0

die() {
	echo "install-configure: $*" >&2
	exit 1
}

force=0
dry=
while getopts fnr:v option; do
	case $option in
	f) force=1 ;;
	n) dry=yes ;;
	r)
		case $OPTARG in
		*[!0-9.]* | "") die "-r wants a version" ;;
		esac
		awk "BEGIN { exit !($OPTARG <= $version) }" 2>/dev/null ||
		    die "this is version $version, older than $OPTARG"
		;;
	v)
		echo "$version"
		exit 0
		;;
	*)
		die "usage: [-f] [-n] [-r VERSION] DIR GROUP MODE NAME..."
		;;
	esac
done
shift $((OPTIND - 1))
test $# -ge 4 || die "usage: [-f] [-n] [-r VERSION] DIR GROUP MODE NAME..."
dir=$1
group=$2
mode=$3
shift 3

# merge OLD DIST REPORT: the new file on standard output.
merge() {
	awk -v old="$1" -v dist="$2" -v report="$3" -v base="$4" '
# A name that the line assigns to, or "".
function assigned(line,	name) {
	if (base ~ /^auth.*rc$/ && base != "authdaemonrc") {
		if (line !~ /^[ \t]*[A-Za-z_][A-Za-z0-9_]*[ \t]/)
			return ""
		sub(/^[ \t]+/, "", line)
		sub(/[ \t].*/, "", line)
		return line
	}
	sub(/^[ \t]*(export[ \t]+)?/, "", line)
	if (line !~ /^[A-Za-z_][A-Za-z0-9_]*[ \t]*=/)
		return ""
	name = line
	sub(/[ \t]*=.*/, "", name)
	return name
}
function section_of(line,	a) {
	sub(/^##NAME:/, "", line)
	split(line, a, ":")
	gsub(/[ \t\r]/, "", a[1])
	gsub(/[ \t\r]/, "", a[2])
	section_name = a[1]
	section_version = a[2]
}
# Settings are compared without blank lines and white space at the ends.
function bare(text) {
	gsub(/[ \t\r]+\n/, "\n", text)
	gsub(/\n+/, "\n", text)
	sub(/^\n/, "", text)
	return text
}
function commented(text,	n, i, a, out) {
	n = split(bare(text), a, "\n")
	out = ""
	for (i = 1; i < n; i++)
		out = out "#" a[i] "\n"
	return out
}
function tell(name, what) {
	print "  " name ": " what >report
}
BEGIN {
	while ((getline line < dist) > 0) {
		if (line ~ /^##NAME:/) {
			section_of(line)
			d[++nd] = section_name
			d_version[nd] = section_version
			d_line[nd] = line
			owner[section_name] = nd
		} else if (nd == 0)
			d_head = d_head line "\n"
		else if (line ~ /^#/)
			d_comment[nd] = d_comment[nd] line "\n"
		else {
			d_setting[nd] = d_setting[nd] line "\n"
			if ((name = assigned(line)) != "")
				owner[name] = nd
		}
	}
	foreign = 1
	while ((getline line < old) > 0) {
		if (line ~ /^##VERSION:/ && line ~ /postern/)
			foreign = 0
		if (line ~ /^##NAME:/) {
			section_of(line)
			o[++no] = section_name
			o_version[no] = section_version
			o_line[no] = line
			known[section_name] = no
		} else if (line ~ /^#/)
			o_comment[no + 0] = o_comment[no + 0] line "\n"
		else
			o_setting[no + 0] = o_setting[no + 0] line "\n"
	}
	# Settings outside of the sections that they have now.
	for (i = 0; i <= no; i++) {
		same = i > 0 && (o[i] in owner) && d[owner[o[i]]] == o[i]
		if (same && !foreign)
			continue
		n = split(o_setting[i], a, "\n")
		to = 0
		rest[i] = ""
		for (j = 1; j < n; j++) {
			name = assigned(a[j])
			if (name != "")
				to = (name in owner) &&
				    d[owner[name]] != o[i] &&
				    !(d[owner[name]] in known) ? owner[name] : 0
			else if (a[j] ~ /^[ \t]*$/)
				to = 0
			if (to)
				moved[to] = moved[to] a[j] "\n"
			else
				rest[i] = rest[i] a[j] "\n"
		}
		if (same)
			o_setting[i] = rest[i]
	}
	printf "%s", d_head
	if (bare(rest[0]) != "")
		printf "\n%s\n", bare(rest[0])
	for (i = 1; i <= nd; i++) {
		k = (d[i] in known) ? known[d[i]] : 0
		have = k ? o_setting[k] : moved[i]
		print d_line[i]
		printf "%s", d_comment[i]
		if (!k && have == "") {
			printf "%s", d_setting[i]
			tell(d[i], "new")
		} else if (!k || foreign || o_version[k] == d_version[i]) {
			if (bare(have) == bare(d_setting[i]))
				printf "%s", d_setting[i]
			else {
				was = commented(d_setting[i])
				if (was != "")
					printf "#\n# DEFAULT SETTING from %s.dist:\n%s", base, was
				printf "\n%s\n", bare(have)
			}
			tell(d[i], "unchanged")
		} else {
			if (bare(have) != bare(d_setting[i]) && bare(have) != "")
				printf "#\n# Previous setting (inserted by install-configure):\n%s", commented(have)
			printf "%s", d_setting[i]
			tell(d[i], "UPDATED")
		}
	}
	for (i = 1; i <= no; i++) {
		if ((o[i] in owner) && d[owner[o[i]]] == o[i])
			continue
		print o_line[i]
		printf "%s%s\n", o_comment[i], commented(rest[i])
		tell(o[i], "unknown, kept as comments")
	}
}'
}

version_of() {
	sed -n '1,20s/^##VERSION://p' "$1" | head -n 1
}

# give FILE: the group and mode that a new one shall have.
give() {
	if test "$(id -u)" = 0 && test -n "$group"; then
		chgrp "$group" "$1" || exit 1
	fi
	chmod "$mode" "$1" || exit 1
}

create() {
	echo "$file: new"
	test -z "$dry" || return 0
	# The secret must not be readable for a moment under any name.
	(umask 077 && cp "$file.dist" "$file.new") || exit 1
	give "$file.new"
	mv "$file.new" "$file" || exit 1
}

update() {
	umask 077
	work=$(mktemp -d) || exit 1
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM
	merge "$file" "$file.dist" "$work/report" "${file##*/}" \
	    >"$work/new" || die "$file could not be brought up to date"
	if cmp -s "$work/new" "$file"; then
		echo "$file: current"
	else
		echo "$file:"
		cat "$work/report"
		if test -z "$dry"; then
			# Owner and mode are those of the old one.
			cp -p "$file" "$file.new" &&
			    cat "$work/new" >"$file.new" &&
			    mv -f "$file" "$file.bak" &&
			    mv "$file.new" "$file" || exit 1
		fi
	fi
	rm -rf "$work"
}

for name; do
	file=$dir/$name
	test -f "$file.dist" ||
	    die "$file.dist does not exist, forgot make install?"
	if test ! -e "$file" && test ! -h "$file"; then
		create
	elif test ! -f "$file"; then
		echo "$file: kept, it is no plain file"
	elif test "$force" = 1; then
		update
	elif test -z "$(version_of "$file")"; then
		echo "$file: kept, it has no ##VERSION: line"
	elif test "$(version_of "$file")" = "$(version_of "$file.dist")"; then
		echo "$file: current"
	else
		update
	fi
done
