"""Which branches of the parsers the fuzz targets reach.

coverage.py SRCDIR SECONDS [CORPUS]: build the targets in ./fuzz-coverage, run
each over its seeds (and CORPUS/NAME, if it is there), fuzz it for so many
seconds from these (0: only run them), and print for each file of parsers.txt
how many regions and branches were reached. "tests/fuzz/README.md" says what
counts.
"""
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

SRCDIR = pathlib.Path(sys.argv[1]).resolve()
SECONDS = int(sys.argv[2])
CORPUS = pathlib.Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else None
WORK = pathlib.Path("fuzz-coverage").resolve()
CFLAGS = "-g -O1 -fprofile-instr-generate -fcoverage-mapping"
EXPANSION = 1  # a kind of region


def call(argv, log, **env):
    with open(WORK / log, "w") as out:
        done = subprocess.run(argv, cwd=WORK, stdout=out, stderr=out,
                              env=os.environ | env)
    if done.returncode != 0:
        sys.exit((WORK / log).read_text(errors="replace")[-5000:])


def tool(name):
    """A program of the LLVM that clang belongs to."""
    path = subprocess.run(["clang", f"-print-prog-name={name}"], check=True,
                          capture_output=True, text=True).stdout.strip()
    return path


def build():
    WORK.mkdir(exist_ok=True)
    if not (WORK / "Makefile").exists():
        call([SRCDIR / "configure", "CC=clang", "CXX=clang++",
              "--enable-fuzzing", f"CFLAGS={CFLAGS}"], "configure.out")
    call(["make", "-j2", "fuzz-targets"], "make.out")
    return sorted(p for p in (WORK / "tests/fuzz").glob("fuzz_*")
                  if p.suffix == "")


def run(program):
    """The profile of one target."""
    name = program.name.removeprefix("fuzz_")
    seeds = [SRCDIR / "tests/fuzz/corpus" / name]
    if CORPUS is not None and (CORPUS / name).is_dir():
        seeds.append(CORPUS / name)
    new = WORK / "new" / name
    new.mkdir(parents=True, exist_ok=True)
    how = ["-runs=0", *seeds]
    if SECONDS != 0:
        words = SRCDIR / "tests/fuzz" / f"{name}.dict"
        how = [f"-max_total_time={SECONDS}", "-timeout=60", new, *seeds,
               *([f"-dict={words}"] if words.exists() else [])]
    profile = WORK / f"{name}.profraw"
    call([program, f"-artifact_prefix={WORK}/", *how], f"{name}.log",
         LLVM_PROFILE_FILE=str(profile))
    return profile


class Source:
    """A file, and where its asserts are."""

    def __init__(self, path):
        text = path.read_text()
        self.ends = [0]
        for line in text.splitlines(keepends=True):
            self.ends.append(self.ends[-1] + len(line))
        self.asserts = []
        for found in re.finditer(r"\bassert\(", text):
            end, depth = found.end(), 1
            while depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            self.asserts.append((found.start(), end))

    def in_assert(self, line, column):
        at = self.ends[line - 1] + column - 1
        return any(low <= at < high for low, high in self.asserts)


def place(regions, file, line, column):
    """Where in the file itself a place within a macro is."""
    while file != 0:
        for r in regions:
            if r[7] == EXPANSION and r[6] == file:
                file, line, column = r[5], r[0], r[1]
                break
        else:
            return None
    return line, column


def gather(functions, wanted, without):
    """{file: {place: reached}} of regions and of sides of branches; and the
    functions that were never called."""
    calls = collections.Counter()
    regions = collections.defaultdict(collections.Counter)
    branches = collections.defaultdict(collections.Counter)
    sources = {}
    for f in functions:
        path = os.path.realpath(f["filenames"][0])
        name = wanted.get(path)
        if name is None:
            continue
        function = f["name"].rpartition(":")[2]
        if function in without:
            continue
        calls[f"{name}: {function}"] += f["count"]
        source = sources.setdefault(name, Source(pathlib.Path(path)))
        for r in f["regions"]:
            if r[5] == 0 and r[7] == 0 and not source.in_assert(r[0], r[1]):
                regions[name][tuple(r[:4])] += r[4]
        for b in f.get("branches", []):
            where = place(f["regions"], b[6], b[0], b[1])
            if where is not None and not source.in_assert(*where):
                branches[name][(*where, *b[:4], True)] += b[4]
                branches[name][(*where, *b[:4], False)] += b[5]
    never = [function for function, n in calls.items() if n == 0]
    return regions, branches, never


def ratio(counts):
    return sum(n != 0 for n in counts.values()), len(counts)


def row(name, *ratios):
    print(f"{name:40}" + "".join(
        f"{hit:6}/{n:<5}{100 * hit / max(n, 1):4.0f} %" for hit, n in ratios))


def tell(parsers, without, functions):
    wanted = {os.path.realpath(SRCDIR / name): name for name in parsers}
    regions, branches, never = gather(functions, wanted, without)
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])
    print(f"{'':40}{'regions':>16}{'branches':>16}")
    for name in sorted(parsers):
        of_file = *ratio(regions[name]), *ratio(branches[name])
        row(name, of_file[:2], of_file[2:])
        for key in (parsers[name], "all"):
            sums[key] = [a + b for a, b in zip(sums[key], of_file)]
    print()
    for key, of_key in sums.items():
        row(key, of_key[:2], of_key[2:])
    with open(WORK / "unreached.txt", "w") as out:
        out.writelines(f"{f}: never called\n" for f in sorted(never))
        for name in sorted(branches):
            for where, n in sorted(branches[name].items()):
                if n == 0:
                    out.write(f"{name}:{where[0]}:{where[1]}: never "
                              f"{str(where[6]).lower()}\n")
    print(f"\nwhat was not reached: {WORK}/unreached.txt")


def main():
    parsers, without = {}, set()
    for line in (SRCDIR / "tests/fuzz/parsers.txt").read_text().splitlines():
        target, colon, names = line.partition(": ")
        if target == "not":
            without.update(names.split())
        elif colon and not line.startswith("#"):
            parsers.update(dict.fromkeys(names.split(), target))
    programs = build()
    profiles = [run(program) for program in programs]
    call([tool("llvm-profdata"), "merge", "-sparse", "-o", "all.profdata",
          *profiles], "merge.out")
    for profile in profiles:
        profile.unlink()
    objects = [a for p in programs[1:] for a in ("-object", p)]
    done = subprocess.run(
        [tool("llvm-cov"), "export", "-instr-profile",
         WORK / "all.profdata", programs[0], *objects,
         *(SRCDIR / name for name in parsers)], check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    tell(parsers, without, json.loads(done.stdout)["data"][0]["functions"])


main()
