"""Build Postern in several ways, run every test, count.

run.py [STAGE...]: all stages, or those named:
  gcc       build with gcc, warnings as errors; make check
  sanitize  build with clang and sanitizers; make check
  auth      authdaemond from outside (sanitizers)
  clients   the installed server and real mail clients (sanitizers)
  takeover  a Maildir passed to and fro with Courier and Dovecot (sanitizers)
  messages  hundreds of messages, compared with Dovecot; hostile ones (gcc)
  howto     MariaDB, Postfix and Postern as in the howto (gcc)
  docs      the commands of docs/, on a machine of namespaces (gcc)
  fuzz      each fuzz target for a few seconds
  valgrind  unit tests of the code that parses, under valgrind
  packages  run-tests installs what all this uses

POSTERN_LONG=1 makes fuzzing long. Everything is below ./build/test; a failed
test's output is printed and stays there.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parents[2]
WORK = TOP / "build" / "test"
LONG = bool(os.environ.get("POSTERN_LONG"))
JOBS = str(min(os.cpu_count() or 1, 8))
FUZZ_SECONDS = 300 if LONG else 1
# Stages at a time.
LANES = 4
# A stage that hangs must not hang the run; on a slow machine the longest takes
# several times the seven minutes that it needs here.
STAGE_SECONDS = 7200 if LONG else 2400
FETCH_SECONDS = 300

CASE = re.compile(
    r"^\[\s*(OK|FAILED|SKIPPED)\s*\] (.+)$"           # cmocka
    r"|^(ok|not ok|skip)\b[ \d-]*(.*)$", re.MULTILINE)  # the others
# A program of make check that is pytest inside.
PYTEST_END = re.compile(r"^(?:=+ )?(?:(\d+) failed, )?(\d+) passed"
                        r"(?:, (\d+) skipped)?.* in [\d.]+s", re.MULTILINE)
PYTEST_SKIP = re.compile(r"^skip (\S+): (?:Skipped: )?(.+)$", re.MULTILINE)
PYTEST_BAD = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
# The lines of an output that say what was wrong: of pytest, cmocka, the
# sanitizers, libFuzzer and the shell's tests.
TELLING = re.compile(r"^E  |^\[ +ERROR +\] ---|^\[ +LINE +\] ---|"
                     r"ERROR: \w+Sanitizer|runtime error: |Assertion .* failed"
                     r"|^not ok|^==\d+== [A-Z]|: error: |took too long")
GOOD = re.compile(r"\[ +(OK|RUN) +\]|ok ")
LINES_MAX = 60    # that are printed of a failure
AFTER_TELLING = 12


class Tally:
    """What was counted, and what has to be told about it."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []
        self.lock = threading.Lock()

    def ok(self, n=1):
        with self.lock:
            self.passed += n

    def fail(self, name, text=""):
        with self.lock:
            self.failed.append((name, reason(text)))
            print(f"FAILED {name}", flush=True)
            show(text)

    def fail_cases(self, name, cases, text):
        """Those of one output, which is shown once."""
        for case in cases:
            self.fail(f"{name}: {case}", text)
            text = ""

    def skip(self, name, why):
        with self.lock:
            self.skipped.append((name, why))


tally = Tally()


def digest(text):
    """What tells most of an output, in LINES_MAX lines: those that say what
    was wrong with what follows them, and the end."""
    lines = [line[:500] for line in text.splitlines()]
    if len(lines) <= LINES_MAX:
        return lines
    keep = set()
    for i, line in enumerate(lines):
        if TELLING.search(line) and len(keep) < LINES_MAX // 2:
            keep.update(range(max(i - 2, 0),
                              min(i + AFTER_TELLING, len(lines))))
    keep = set(sorted(keep)[:2 * LINES_MAX // 3])
    for i in range(len(lines) - 1, -1, -1):
        if len(keep) >= LINES_MAX:
            break
        if not GOOD.match(lines[i]):
            keep.add(i)
    out, before = [], -1
    for i in sorted(keep):
        if i != before + 1:
            out.append("[…]")
        out.append(lines[i])
        before = i
    return out


def reason(text):
    """The first line that says what was wrong, for the summary."""
    for line in text.splitlines():
        if TELLING.search(line):
            return line.removeprefix("E").strip()[:200]
    return ""


def show(text):
    for line in digest(text):
        print("    " + line)
    sys.stdout.flush()


def run(argv, log, timeout=STAGE_SECONDS, **kwargs):
    """Run to the end with the output in a file; the exit status."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        try:
            return subprocess.run(argv, stdout=out, stderr=out,
                                  stdin=subprocess.DEVNULL, timeout=timeout,
                                  **kwargs).returncode
        except subprocess.TimeoutExpired:
            out.write(b"\nrun.py: took too long\n")
            return -1
        except OSError as error:
            out.write(str(error).encode())
            return -1


def tail(path, n=20000):
    """The last lines, of which digest() takes some."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-n:])


def count_log(name, result, text):
    """Count the cases in one test program's output."""
    seen, reasons = {}, {}
    inside = PYTEST_END.search(text)
    if inside:
        tally.ok(int(inside.group(2)))
        told = PYTEST_SKIP.findall(text)
        for case, why in told:
            tally.skip(f"{name}: {case}", why)
        for _ in range(int(inside.group(3) or 0) - len(told)):
            tally.skip(name, "no reason given")
        bad = sorted(set(PYTEST_BAD.findall(text)))
        tally.fail_cases(name, bad, text)
        if not bad and result != "PASS":
            tally.fail(name, text)
        return
    # cmocka names the failed ones once more at the end.
    for match in CASE.finditer(text):
        word = (match.group(1) or match.group(3)).upper()
        case = (match.group(2) or match.group(4) or "").strip()
        if match.group(1) and re.match(r"\d+ test", case):
            continue
        if word == "SKIP":
            case, _, reasons[case.partition(": ")[0]] = case.partition(": ")
        if seen.get(case) not in ("FAILED", "NOT OK"):
            seen[case] = word
    failed = [c for c, w in seen.items() if w in ("FAILED", "NOT OK")]
    tally.ok(sum(w == "OK" for w in seen.values()))
    for case, word in seen.items():
        if word in ("SKIPPED", "SKIP"):
            tally.skip(f"{name}: {case}",
                       reasons.get(case) or "no reason given")
    tally.fail_cases(name, failed, text)
    if result in ("FAIL", "ERROR"):
        if not failed:
            tally.fail(name, text)
    elif result == "SKIP":
        tally.skip(name, text.strip().splitlines()[-1] if text.strip()
                   else "no reason given")
    elif not seen:
        tally.ok()


def build(name, *options, env=None):
    """Configure and make in WORK/name; the folder, or None."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prefix = folder / "installed"
    started = time.monotonic()
    for argv in ([str(TOP / "configure"), f"--prefix={prefix}",
                  f"--with-piddir={prefix}/run", *options],
                 ["make", "-j", JOBS], ["make", "install"]):
        log = folder / (pathlib.Path(argv[-1]).name + ".build-log")
        if run(argv, log, cwd=folder, env=env) != 0:
            tally.fail(f"build {name}: {' '.join(argv)}", tail(log))
            return None
    tally.ok()
    print(f"== built {name} in {time.monotonic() - started:.0f} s",
          flush=True)
    return folder


def check(name, folder):
    """make check there, and count each program's cases."""
    for old in (folder / "tests").rglob("*.trs"):
        old.unlink()
    log = folder / "check.out"
    status = run(["make", "-k", "-j", JOBS, "check"], log, cwd=folder)
    results = sorted((folder / "tests").rglob("*.trs"))
    failed_before = len(tally.failed)
    for trs in results:
        result = re.search(r"^:test-result: (\w+)", trs.read_text(), re.M)
        text = trs.with_suffix(".log").read_text(errors="replace")
        count_log(f"{name}: {trs.relative_to(folder).with_suffix('')}",
                  result.group(1) if result else "ERROR", text)
    if not results or (status != 0 and len(tally.failed) == failed_before):
        tally.fail(f"{name}: make check", tail(log))


def count_junit(name, path, log, status):
    """Count pytest's cases."""
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        tally.fail(f"{name}: pytest", tail(log))
        return
    cases = list(root.iter("testcase"))
    bad = 0
    for case in cases:
        title = f"{name}: {case.get('classname')}.{case.get('name')}"
        wrong = case.find("failure")
        wrong = case.find("error") if wrong is None else wrong
        skipped = case.find("skipped")
        if wrong is not None:
            bad += 1
            tally.fail(title, wrong.text or "")
        elif skipped is not None:
            tally.skip(title, skipped.get("message", ""))
        else:
            tally.ok()
    if not cases or (status != 0 and bad == 0):
        tally.fail(f"{name}: pytest", tail(log))


# Two stages may want the same packages.
unpacking = threading.Lock()


def unpacked(script, name):
    """Debian's packages that a script unpacks, not installed; or None."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    folder = WORK / name
    log = WORK / f"{name}.log"
    with unpacking:
        if not (folder / "usr").is_dir() and run(
                ["sh", str(TOP / script), str(folder)], log,
                timeout=FETCH_SECONDS) != 0:
            print(f"run.py: no {name}:\n" + tail(log, 5), flush=True)
            return None
    return folder


def imapflow():
    """npm's imapflow as tests/clients/imapflow pins it; or None."""
    if shutil.which("npm") is None:
        print("run.py: no imapflow: npm is missing", flush=True)
        return None
    folder = WORK / "imapflow"
    pinned = TOP / "tests/clients/imapflow/package-lock.json"
    kept = folder / pinned.name
    if not (folder / "node_modules").is_dir() or not kept.exists() or \
            kept.read_bytes() != pinned.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("package.json", pinned.name):
            shutil.copy(pinned.parent / name, folder)
        if run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
               WORK / "imapflow.log", timeout=FETCH_SECONDS, cwd=folder) != 0:
            shutil.rmtree(folder, ignore_errors=True)
            print("run.py: no imapflow:\n"
                  + tail(WORK / "imapflow.log", 5), flush=True)
            return None
    return folder / "node_modules"


def pytest(name, folder, only=None):
    """One folder of system tests on one build; only: those of a name."""
    tests = TOP / "tests" / name
    if only is not None:
        name = f"{name}-{only.replace(' ', '-')}"
    if folder is None:
        tally.fail(f"{name}: nothing to test, the build failed")
        return
    if run(["/usr/bin/python3", "-c", "import pytest"],
           WORK / "pytest.log") != 0:
        tally.skip(name, "pytest is missing: apt-get install python3-pytest")
        return
    xml_path = WORK / f"{name}.xml"
    xml_path.unlink(missing_ok=True)
    log = WORK / f"{name}.log"
    env = dict(os.environ, POSTERN_PREFIX=str(folder / "installed"),
               BUILD_DIR=str(folder), PYTHONDONTWRITEBYTECODE="1")
    if tests.name in ("auth", "clients") and (tools := unpacked(
            "tests/auth/get-courier-tools", "courier-tools")) is not None:
        env["COURIER_TOOLS"] = str(tools)
    if name in ("takeover", "docs") and (root := unpacked("tests/takeover/get-servers",
                                                "takeover-root")) is not None:
        env["TAKEOVER_ROOT"] = str(root)
    if name == "docs" and (fetched := unpacked(
            "tests/docs/get-packages", "docs-packages")) is not None:
        env["DOCS_PACKAGES"] = str(fetched)
    if name == "clients" and (library := imapflow()) is not None:
        env["IMAPFLOW"] = str(library)
    started = time.monotonic()
    status = run(["/usr/bin/python3", "-m", "pytest", "-q", "-rs",
                  f"--junitxml={xml_path}", *(["-k", only] if only else []),
                  str(tests)], log, cwd=folder, env=env)
    count_junit(name, xml_path, log, status)
    print(f"== {name} in {time.monotonic() - started:.0f} s", flush=True)


def fuzz():
    if shutil.which("clang") is None:
        tally.skip("fuzz", "clang is missing: apt-get install clang")
        return
    log = WORK / "fuzz.log"
    started = time.monotonic()
    # A short run begins at the same place: what is new is for the long one.
    env = os.environ | ({} if LONG else {"FUZZ_SEED": "1"})
    status = run(["sh", str(TOP / "tests/fuzz/fuzz.sh"), str(TOP),
                  str(FUZZ_SECONDS)], log, cwd=WORK, env=env)
    text = log.read_text(errors="replace")
    good = re.findall(r"^ok (fuzz \S+)", text, re.M)
    bad = re.findall(r"^not ok fuzz (\S+)", text, re.M)
    tally.ok(len(good))
    tally.fail_cases("fuzz", bad, text)
    if not bad and (status != 0 or not good):
        tally.fail("fuzz", text)
    print(f"== fuzz in {time.monotonic() - started:.0f} s", flush=True)


# Code that parses what strangers send, and the ground it stands on.
VALGRIND = re.compile(r"test_(access|auth_(?!throttle)\w+|conf\w*|deflate|ipc|"
                      r"net|proxy|"
                      r"imap_(keys|lex|parts|preview|session|thread)|"
                      r"mime_(envelope|header|parser|wire)|pop3_\w+|preauth_\w+|"
                      r"maildir(_account|_cache|_commands|_import|_names|_view)?)$")


def valgrind(folder):
    if shutil.which("valgrind") is None:
        tally.skip("valgrind", "missing: apt-get install valgrind")
        return
    if folder is None:
        tally.fail("valgrind: nothing to test, the build failed")
        return
    started = time.monotonic()
    names = sorted(p for p in (folder / "tests/unit").glob("test_*")
                   if VALGRIND.search(p.name) and os.access(p, os.X_OK))
    for path in names:
        log = WORK / "valgrind" / f"{path.name}.log"
        status = run(["valgrind", "-q", "--leak-check=full",
                      f"--suppressions={TOP}/tests/support/valgrind.supp",
                      "--show-leak-kinds=definite", "--error-exitcode=99",
                      "--errors-for-leak-kinds=definite",
                      "--trace-children=no", str(path)],
                     log, cwd=folder, timeout=STAGE_SECONDS,
                     env=dict(os.environ, srcdir=str(TOP),
                              top_srcdir=str(TOP),
                              top_builddir=str(folder)))
        if status in (0, 77):
            tally.ok()
        else:
            tally.fail(f"valgrind: {path.name}", tail(log))
    if not names:
        tally.fail("valgrind: no unit tests found")
    print(f"== valgrind in {time.monotonic() - started:.0f} s", flush=True)


def packages(folder):
    """tests/lint/packages.py, on what the build has really read."""
    if folder is None or shutil.which("dpkg-query") is None:
        tally.skip("packages", "needs a build and dpkg")
        return
    log = WORK / "packages.log"
    status = run(["/usr/bin/python3", str(TOP / "tests/lint/packages.py"),
                  str(folder)], log)
    count_log("packages", "PASS" if status == 0 else "FAIL",
              log.read_text(errors="replace"))


def build_sanitized(plain, stages):
    """With clang and sanitizers; without clang, what gcc made."""
    if not {"sanitize", "auth", "clients", "takeover"} & set(stages):
        return None
    if not shutil.which("clang"):
        tally.skip("sanitize", "clang is missing: apt-get install clang")
        return plain
    return build("sanitize", "CC=clang", "--enable-werror",
                 "--enable-sanitizers", "CFLAGS=-g -O1")


def check_sanitized(folder, plain):
    """In a copy: tests of the installation copy the folder meanwhile."""
    if folder and folder != plain:
        copy = WORK / "sanitize-check"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy, symlinks=True,
                        ignore=shutil.ignore_patterns("installed"))
        check("sanitize", copy)


def auth(folder, plain):
    pytest("auth", folder, "not timing and not sandbox and not password_stays")
    # What a sanitizer's own system calls would break, or its memory hides.
    pytest("auth", plain, "sandbox or password_stays")


def clients(folder, plain):
    # Sanitizers keep what is freed, and have much more memory to look through.
    pytest("clients", folder, "not password_stays and not windows_back")
    pytest("clients", plain, "password_stays")


class Lanes:
    """Stages side by side. What one waits for must have been started before
    it, so that a lane is never held by what has none."""

    def __init__(self, stages):
        self.stages = stages
        self.pool = concurrent.futures.ThreadPoolExecutor(LANES)
        self.futures = {}

    def start(self, name, after, job, *arguments):
        """after: the names of those that must have ended."""
        def wait_and_run():
            concurrent.futures.wait(
                [self.futures[n] for n in after if n in self.futures])
            return job(*arguments)

        if name in self.stages:
            self.futures[name] = self.pool.submit(wait_and_run)

    def finish(self):
        for name, future in self.futures.items():
            error = future.exception()
            if error is not None:
                tally.fail(f"{name}: {error!r}")
        self.pool.shutdown()


def main():
    stages = sys.argv[1:] or ["gcc", "sanitize", "auth", "clients",
                              "takeover", "messages", "howto",
                              "docs", "fuzz", "valgrind",
                              "packages"]
    WORK.mkdir(parents=True, exist_ok=True)
    # The servers of the tests run as other users than the one who builds.
    for path in (WORK, *WORK.parents):
        if path.stat().st_uid == os.geteuid() and path != TOP.anchor:
            path.chmod(path.stat().st_mode | 0o011)
    started = time.monotonic()
    if run(["autoreconf", "-fi"], WORK / "autoreconf.log", cwd=TOP) != 0:
        tally.fail("autoreconf", tail(WORK / "autoreconf.log"))
        return finish(started)
    plain = None
    if {"gcc", "auth", "clients", "messages", "howto", "docs", "valgrind",
            "packages"} & set(stages):
        plain = build("gcc", "CC=gcc", "--enable-werror")
    # Most stages wait more than they count, so four share two cores.
    lanes = Lanes({"built", *stages})
    folder = {}
    lanes.start("built", [], lambda: folder.update(
        sanitized=build_sanitized(plain, stages)))
    if plain:
        lanes.start("gcc", [], check, "gcc", plain)
    # First what takes longest.
    lanes.start("clients", ["built"],
                lambda: clients(folder["sanitized"], plain))
    lanes.start("sanitize", ["built"],
                lambda: check_sanitized(folder["sanitized"], plain))
    lanes.start("fuzz", [], fuzz)
    lanes.start("auth", ["built"], lambda: auth(folder["sanitized"], plain))
    # Some copy the folder, which mustn't change meanwhile.
    for name in ("howto", "docs", "messages"):
        lanes.start(name, ["gcc"], pytest, name, plain)
    lanes.start("valgrind", ["gcc"], valgrind, plain)
    lanes.start("takeover", ["built"],
                lambda: pytest("takeover", folder["sanitized"]))
    lanes.finish()
    # Alone, for these compare times, or have limits to keep.
    if "auth" in stages:
        pytest("auth", folder["sanitized"], "timing")
    # With sanitizers memory can't be measured.
    if "clients" in stages and plain:
        pytest("clients", plain, "never_reads or windows_back")
    if "packages" in stages:
        packages(plain)
    return finish(started)


def finish(started):
    for name, why in tally.skipped:
        print(f"skipped {name}: {why}")
    for name, why in tally.failed:
        print(f"failed {name}" + (f": {why}" if why else ""))
    print(f"{time.monotonic() - started:.0f} seconds")
    print(f"{tally.passed} passed, {len(tally.failed)} failed, "
          f"{len(tally.skipped)} skipped", flush=True)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
