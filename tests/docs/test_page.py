"""The runner of pages itself: tests/support/page.py and machine.py."""

import pathlib
import re
import socket

import page
import pytest

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"

TEXT = """\
# Top

```sh
first 'one
two'
```

It prints

```output
a … c
…
end
```

## Second

<!-- not run: needs the moon -->
```sh
fly
```

1. In a list:

   ```sh
   indented
   ```

```conf
not = a command
```
"""


def test_parse():
    first, second, third = page.parse(TEXT, "x.md")
    assert str(first) == "x.md:3" and first.section == "Top"
    assert first.text == "first 'one\ntwo'\n"
    assert first.expected == ["a … c", "…", "end"]
    assert second.section == "Second"
    assert second.not_run == "needs the moon"
    assert third.text == "indented\n"
    assert third.expected is None and third.not_run is None


@pytest.mark.parametrize("text", [
    "```sh\nx\n", "```output\nx\n```\n",
    "```sh\nx\n```\n## New\n```output\nx\n```\n",
    "```sh\nx\n```\n```text\n```\n```output\nx\n```\n"])
def test_what_makes_no_sense_is_an_error(text):
    with pytest.raises(ValueError):
        page.parse(text)


@pytest.mark.parametrize("expected, printed, good", [
    (["a"], "a\n", True), (["a"], "a  ", True), (["a"], "ab\n", False),
    (["a"], "a\nb\n", False), (["a", "…"], "a\nb\nc\n", True),
    (["a", "…"], "a\n", True), (["…", "z"], "a\nz\n", True),
    (["…", "z"], "a\n", False), (["u … v"], "u 1.2 v\n", True),
    (["u … v"], "u 1\n v\n", False), (["a.c"], "abc\n", False),
    ([], "", True), ([], "x\n", False), (["at …"], "at noon\n", True)])
def test_output(expected, printed, good):
    assert page.matches(expected, printed) == good


def test_every_page_with_commands_has_a_test():
    """In tests/docs; it also says that no block is left."""
    tests = [p.read_text() for p in pathlib.Path(__file__).parent.glob(
        "test_*.py") if p.name != "test_page.py"]
    for path in [DOCS / "../README.md", *sorted(DOCS.glob("*.md"))]:
        if not page.parse(path.read_text(), path.name):
            continue
        name = re.escape(str(path.relative_to(DOCS)))
        pattern = rf'(\w+) = page\.Page\("{name}"\)'
        assert any((found := re.search(pattern, text)) is not None and
                   f"assert {found.group(1)}.left() == []" in text
                   for text in tests), f"nobody runs {path.name}"


def test_machine(new_machine):
    """What is done there stays there; the shell goes on where it was."""
    m = new_machine()
    assert m.shell("cd /etc; echo x >pn-test; x=1; export y='a b'; pwd") == \
        "/etc\n"
    assert m.shell("pwd; echo $x,$y; cat pn-test") == "/etc\n,a b\nx\n"
    assert not pathlib.Path("/etc/pn-test").exists()
    assert m.path("/etc/pn-test").read_text() == "x\n"
    with pytest.raises(AssertionError, match="status 3 of"):
        m.shell("echo said; exit 3")
    assert m.shell("false; echo no", ok=(1,)) == ""
    with m.network(), socket.socket() as s:
        s.bind(("127.0.0.1", 143))
    assert "posternd" in m.shell("ls /usr/src/postern/man")
    # a daemon that keeps its output open holds nobody up
    m.shell("sleep 1000 &")
    assert "sleep" in m.shell("ps -e -o args")
    pid = m.pid
    m.stop()
    assert not pathlib.Path(f"/proc/{pid}/root/etc").exists()
