#!/bin/sh
# Run every fuzz target over its corpus, without a fuzzer. A build with
# libFuzzer takes the corpus by name and runs each file once.

status=0
n=0
for program in tests/fuzz/fuzz_*; do
	case $program in
	*.*) continue ;;
	esac
	test -x "$program" || continue
	n=$((n + 1))
	name=${program#tests/fuzz/fuzz_}
	corpus=$top_srcdir/tests/fuzz/corpus/$name
	if test ! -d "$corpus"; then
		echo "not ok fuzz $name: no $corpus"
		status=1
	elif out=$(find "$corpus" -type f | sort | xargs "$program" 2>&1); then
		echo "ok fuzz $name"
	else
		echo "not ok fuzz $name"
		echo "$out"
		status=1
	fi
done
test "$n" -gt 0 || exit 77
exit $status
