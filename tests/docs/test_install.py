"""docs/install.md on a machine of its own; there, too, the commands that stand
in sentences and tables of all pages, and at last README.md's own steps."""

import page
import pytest


def without_upgrades(machine, block):
    """The packages are there already; newer ones would need the network."""
    return machine.shell(block.text.replace(
        "apt-get install ", "apt-get install --no-upgrade ", 1))


def in_parallel(machine, block):
    return machine.shell(block.text.replace("\nmake\n", "\nmake -j2\n"))


@pytest.fixture(scope="module")
def installed(new_machine):
    """The machine, as the page leaves it."""
    machine = new_machine()
    install = page.Page("install.md")
    install.run(machine, around={"^apt-get install": without_upgrades,
                                 "configure --prefix": in_parallel})
    assert install.left() == []
    return machine


def test_install(installed):
    said = installed.shell("/usr/local/postern/sbin/posternctl ping")
    assert said == "posternd is running\n"


# --- commands in sentences and tables -----------------------------------------

# (command, or a page and the command) -> why nobody runs it here.
NOT_RUN = {
    "./quickstart stop": "tests/howto/test_quickstart.py does",
    "posternd --login": "how a process calls itself",
    "posternd --loginexec": "how a process calls itself",
    "posternd --sendmail": "how a process calls itself",
    "libexec/postern/worker": "a program that only posternd starts",
    "libexec/postern/holder": "a program that only posternd starts",
    "apt-get download": "needs the network; tests/docs/get-packages does it",
    "make bench": "minutes, and Dovecot",
    "make bench-login": "minutes, and Dovecot",
    "make check": "run-tests does",
    "doveadm backup": "Dovecot's; needs a running Dovecot with mail",
    "doveadm backup -u USER maildir:~/Maildir.new":
        "Dovecot's; needs a running Dovecot with mail",
    "sysctl fs.inotify.max_user_watches=524288":
        "it is the kernel's, of all machines",
    "apt-get install courier-imap courier-pop courier-authlib-mysql":
        "test_takeover_debian.py does",
    "apt-get install mariadb-server postfix postfix-mysql libsasl2-modules":
        "test_takeover.py has a machine with them",
    "apt-get autoremove": "said of what somebody may do later",
    "openssl s_client -connect HOST:993":
        "test_s_client in tests/clients/test_tls.py runs it, with -starttls too",
    "rm -r": "said of what somebody else did",
    "chown -R": "says what to do, not to which files",
}

# What a reader puts in, and where a command is not complete in itself.
MEANT = {
    "sbin/authtest USER PASSWORD": "sbin/authtest joe@example.com secret",
    "chmod +t": "chmod +t /home/vmail",
    "chmod -t": "chmod -t /home/vmail",
    "openssl passwd -6": "openssl passwd -6 secret",
    "authenumerate -s": "sbin/authenumerate -s",
    "maildirmake --add NICK=/PATH Maildir":
        "bin/maildirmake /tmp/Maildir; bin/maildirmake /tmp/other; "
        "bin/maildirmake --add NICK=/tmp/other /tmp/Maildir",
    "maildirmake -S": "bin/maildirmake -S /tmp/sharable",
    "maildirmake -s read": "bin/maildirmake -s read -f news /tmp/sharable",
    "maildirmake --convutf8 Maildir":
        "bin/maildirmake --convutf8 /tmp/Maildir",
    "make install-configure":
        "make -C /usr/src/postern/build install-configure",
    "make install": "make -C /usr/src/postern/build install",
    "make install-migrate": "make -C /usr/src/postern/build install-migrate",
    "posternctl export": "sbin/posternctl export --all",
    "posternctl stop": "sbin/posternctl stop",
    "postconf -e 'smtpd_tls_auth_only = yes'":
        ": >>/etc/postfix/main.cf; postconf -e 'smtpd_tls_auth_only = yes'",
}


def meant(command):
    text = MEANT.get(command, command)
    if text.startswith(("posternctl ", "posternd ")):
        text = "sbin/" + text
    return text.replace("ACCOUNT", "joe@example.com")


def test_no_exception_without_a_command():
    commands = {command for _, command in page.inline_commands()}
    assert set(NOT_RUN) <= commands and set(MEANT) <= commands
    assert not set(NOT_RUN) & set(MEANT)


def test_commands_in_sentences(installed):
    """Each of them, as a reader would type it, in the order of the pages; what
    ends the server comes last."""
    commands = list(dict.fromkeys(
        command for _, command in page.inline_commands()
        if command not in NOT_RUN))
    commands.sort(key=lambda command: command == "posternctl stop")
    assert len(commands) > 25
    wrong = []
    for command in commands:
        try:
            installed.shell("cd /usr/local/postern\n" + meant(command))
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


# --- README.md ----------------------------------------------------------------

def build_elsewhere(machine, block):
    """In a folder that has most of it built, not in the source's own."""
    text = block.text.replace("apt-get install ",
                              "apt-get install --no-upgrade ", 1)
    assert "\nautoreconf -fi " in text and "\n./configure " in text
    text = text.replace("\nautoreconf -fi ", "\ntest -x configure ")
    text = text.replace("\n./configure ", "\ncd build\n../configure ")
    return machine.shell("cd /usr/src/postern\n" +
                         text.replace("\nmake\n", "\nmake -j2\n"))


def test_readme(installed):
    """On the same machine, after the first server there has ended."""
    installed.shell("""\
/usr/local/postern/sbin/posternctl stop || :
while /usr/local/postern/sbin/posternctl ping; do sleep 0.1; done
/usr/local/postern/sbin/authdaemond stop
! id postern || userdel postern
""")
    readme = page.Page("../README.md")
    readme.run(installed, around={"^apt-get install": build_elsewhere})
    assert readme.left() == []
    for service in ("imapd", "imapd-ssl", "pop3d"):
        assert installed.shell(
            f"/usr/local/courier/libexec/{service}.rc status") == \
            f"{service} is running\n"
