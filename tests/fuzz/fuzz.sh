#!/bin/sh
# fuzz.sh SRCDIR SECONDS [TARGET...]: build the fuzz targets with libFuzzer in
# ./fuzz-build and run each for so many seconds from its corpus. What is found
# stays in ./fuzz-build/found.  FUZZ_SEED=N begins the random numbers there, so
# that nearly the same inputs are tried each time.
#
# Prints "ok fuzz NAME" or "not ok fuzz NAME" for each; exit status 1 if one
# failed.

srcdir=$1
seconds=$2
shift 2
mkdir -p fuzz-build/found || exit 1
cd fuzz-build || exit 1
test -f Makefile || "$srcdir/configure" CC=clang CXX=clang++ --enable-fuzzing \
    CFLAGS='-g -O1' >configure.out 2>&1 || {
	cat configure.out
	exit 1
}
targets=$(make -s -j2 fuzz-targets 2>make.err | tail -n 1) || {
	cat make.err
	exit 1
}
status=0
for target in $targets; do
	name=${target#tests/fuzz/fuzz_}
	if test $# -gt 0; then
		case " $* " in
		*" $name "*) ;;
		*) continue ;;
		esac
	fi
	mkdir -p "new/$name"
	dict=
	test -f "$srcdir/tests/fuzz/$name.dict" &&
	    dict=-dict=$srcdir/tests/fuzz/$name.dict
	if "./$target" $dict ${FUZZ_SEED:+-seed="$FUZZ_SEED"} \
	    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
	    -print_final_stats=1 -artifact_prefix="found/$name-" "new/$name" \
	    "$srcdir/tests/fuzz/corpus/$name" >"$name.log" 2>&1; then
		echo "ok fuzz $name"
	else
		echo "not ok fuzz $name"
		tail -n 30 "$name.log"
		status=1
	fi
done
exit $status
