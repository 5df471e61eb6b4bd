"""Several hundred messages, as Postern and Debian's Dovecot tell them over
IMAP from Maildirs of the same files. Every difference has a reason that
docs/differences.md gives, or it is a fault."""

import pathlib
import re

import compare
import explain
import pytest

DOC = pathlib.Path(__file__).parents[2] / "docs" / "differences.md"


@pytest.fixture(scope="module")
def found(ours, theirs, messages):
    """All differences, with their classes."""
    data = dict(messages)
    return [(name, item, a, b, explain.explain(item, a, b, data[name]))
            for name, item, a, b in compare.differences(ours, theirs,
                                                        messages)]


def test_each_difference_is_explained(found):
    bad = [f"{name} {item}:\n  Postern {a!r:.500}\n  Dovecot {b!r:.500}"
           for name, item, a, b, classes in found if None in classes]
    assert not bad, "\n".join(bad[:20]) + f"\n{len(bad)} in all"


def test_the_document_has_each_class(found):
    told = set(re.findall(r"^\| `([^`]+)` \|", DOC.read_text(), re.M))
    seen = set().union(*(classes for *_, classes in found))
    assert seen == told


def test_sizes_agree(found):
    """What both must get right, whatever the message is."""
    assert not [name for name, item, *_ in found if item == "RFC822.SIZE"]


def test_every_byte_is_served(ours, messages):
    """BODY[] is the file with CRLF for LF; RFC822.SIZE is its length."""
    ours.do("EXAMINE INBOX")
    got, _ = ours.fetch("1:*", "RFC822.SIZE BODY.PEEK[]")
    for n, (name, data) in enumerate(messages, 1):
        wire = re.sub(rb"(?<!\r)\n", b"\r\n", data)
        assert got[n]["BODY[]"] == wire, name
        assert int(got[n]["RFC822.SIZE"]) == len(wire), name


def test_parts_make_the_whole(ours, messages):
    """HEADER and TEXT are the message, cut in two."""
    got, _ = ours.fetch("1:*", "BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT]")
    for n, (name, _) in enumerate(messages, 1):
        one = got[n]
        assert one["BODY[HEADER]"] + one["BODY[TEXT]"] == one["BODY[]"], name


def test_decoded_parts_agree(ours, dovecot, messages):
    """BINARY of each part that both know, where Dovecot has an answer: it
    refuses damaged base64, or its process ends in an assertion."""
    client, compared = None, 0
    ours.do("EXAMINE INBOX")
    for n, (name, _) in enumerate(messages, 1):
        if client is None:
            client = dovecot()
            client.do("EXAMINE INBOX")
        bodies = [c.fetch(n, "BODY")[0][n]["BODY"] for c in (ours, client)]
        if not explain.same_sizes(*bodies):
            continue
        what = " ".join(f"BINARY.PEEK[{path}] BINARY.SIZE[{path}]"
                        for path in compare.leaves(bodies[0])[:20])
        a, said = ours.fetch(n, what)
        assert said.startswith((b"OK", b"NO [UNKNOWN-CTE]")), name
        try:
            b, answer = client.fetch(n, what)
        except ConnectionError:
            client = None
            continue
        if answer.startswith(b"OK") and said.startswith(b"OK"):
            # A multipart without parts is told to have one, which isn't
            # there: NIL, and the empty string.
            a, b = ({item: v or b"" for item, v in one[n].items()}
                    for one in (a, b))
            assert a == b, name
            compared += 1
    assert compared > 300
    if client is not None:
        client.close()
