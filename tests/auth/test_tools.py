"""authtest, authenumerate and authpasswd against Debian's own of those names."""

import os
import pathlib
import subprocess

import pytest

import support
from support import JOE


def ours(daemon):
    """Run a tool of this build as `courier` runs Debian's."""
    build = pathlib.Path(support.program()).parents[1]

    def run(program, *words, **options):
        path = next(p for p in (build / program, build / "sbin" / program)
                    if p.exists())
        conf = [] if program == "authpasswd" else ["-c", daemon.conf]
        return subprocess.run([path, *conf, *words], capture_output=True,
                              text=True, timeout=40, **options)
    return run


def outcome(done):
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def rows(daemon, table):
    table.add("o", clear="x", crypt="{SHA}x", name="Jo B", quota="")
    table.add("unusable", clear="secret", uid=0)
    table.add("private", clear="x")
    daemon.write("authsqliterc", table.rc() +
                 "SQLITE_AUXOPTIONS_FIELD CASE email WHEN 'private' "
                 "THEN 'disableshared=1,x=y' ELSE '' END\n")
    yield
    daemon.write("authsqliterc", table.rc())


@pytest.mark.parametrize("words", [
    (), ("-h",), ("-s",), (JOE,), (JOE, "secret"), (JOE, "bad"), ("nobody",),
    ("nobody", "x"), ("-s", "imap", "o"), ("-s", "courier", JOE),
    ("private",), (JOE, "bad", "x"), ("unusable",), ("unusable", "secret"),
    ("two words",), ("",), (JOE, ""), ("a", "b", "c", "d")])
def test_authtest(courier, daemon, rows, words):
    assert outcome(ours(daemon)("authtest", *words)) == \
        outcome(courier("authtest", *words))


def test_authtest_changes(courier, daemon, table, rows):
    for run in (courier, ours(daemon)):
        table.add("mover", clear="old", crypt="{MD5}%s" % "x")
        table.add("mover", clear="old")
        done = run("authtest", "mover", "old", "n3w")
        assert outcome(done) == (0, "", "Password change succeeded.\n")
        assert daemon.login("mover", "n3w").startswith(b"UID=")


def test_authtest_of_pam_and_root(daemon, rows):
    """No line of the password can pass for another field."""
    run = ours(daemon)
    assert run("authtest", f"{JOE}\nx", "y").returncode == 1
    assert run("authtest", JOE, "secret", "a\tb").returncode == 1


@pytest.mark.parametrize("words", [(), ("-o",), ("-s",), ("-s", "-o"),
                                   ("-x",)])
def test_authenumerate(courier, daemon, rows, words):
    done = ours(daemon)("authenumerate", *words)
    assert outcome(done) == outcome(courier("authenumerate", *words))
    assert done.returncode == (1 if words == ("-x",) else 0)


def test_cut_short(courier, daemon, table, rows):
    table.db.execute("ALTER TABLE postfix_users RENAME TO elsewhere")
    try:
        for run in (courier, ours(daemon)):
            assert run("authenumerate").returncode == 1
    finally:
        table.db.execute("ALTER TABLE elsewhere RENAME TO postfix_users")


@pytest.mark.parametrize("word", ["md5", "md5raw", "sha", "sha256", "sha512",
                                  "MD5"])
@pytest.mark.parametrize("text", ["secret\n", "secret", "a\nb\n",
                                  "p\xe4ss w\xf6rd\n"])
def test_authpasswd(courier, daemon, word, text):
    """What has no salt is the same."""
    assert outcome(ours(daemon)("authpasswd", word, input=text)) == \
        outcome(courier("authpasswd", word, input=text))


@pytest.mark.parametrize("words, start", [
    ((), "$1$"), (("ssha",), "{SSHA}"), (("nonsense",), "{SSHA}"),
    (("-h",), "{SSHA}")])
def test_authpasswd_with_salt(courier, daemon, table, words, start):
    """Either's hash opens the account."""
    for run in (courier, ours(daemon)):
        done = run("authpasswd", *words, input="secret\n")
        assert done.returncode == 0 and done.stdout.startswith(start)
        table.add("hashed", crypt=done.stdout.strip())
        assert daemon.login("hashed").startswith(b"UID=")


@pytest.mark.parametrize("word, start", [
    ("yescrypt", "$y$"), ("bcrypt", "$2b$"), ("sha512crypt", "$6$"),
    ("argon2id", "{ARGON2ID}$argon2id$"), ("scram-sha-256",
                                           "{SCRAM-SHA-256}")])
def test_authpasswd_beyond_courier(daemon, table, word, start):
    done = ours(daemon)("authpasswd", word, input="secret\n")
    assert done.returncode == 0 and done.stdout.startswith(start)
    table.add("hashed", crypt=done.stdout.strip())
    assert daemon.login("hashed").startswith(b"UID=")


def test_authpasswd_of_nothing(courier, daemon):
    for run in (courier, ours(daemon)):
        assert outcome(run("authpasswd", "md5", input="")) == (1, "", "")


def test_without_authdaemond(daemon, tmp_path):
    """Away is a temporary failure here too."""
    (tmp_path / "authdaemonrc").write_text(f"authdaemonvar={tmp_path}\n")
    run = ours(daemon)
    for words in (["authtest", "-c", tmp_path, "x"],
                  ["authenumerate", "-c", tmp_path]):
        done = run(*words)
        assert done.returncode == 1 and "No such file" in done.stderr


def test_for_those_who_may_not_read_the_configuration(daemon, rows):
    """authdaemonrc is root's, as Debian has it: the built-in place counts."""
    if os.getuid() != 0:
        pytest.skip("needs root")
    done = subprocess.run(
        ["setpriv", "--reuid=nobody", "--clear-groups", "--",
         str(pathlib.Path(support.program()).parents[1] / "authtest"),
         "-c", str(daemon.conf.parent / "nowhere"), "x"],
        capture_output=True, text=True)
    assert done.returncode == 1 and "Authentication FAILED" in done.stderr
