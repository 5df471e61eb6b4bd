"""SEARCH, SORT and THREAD of the same several hundred real and damaged
messages by Postern and by Debian's Dovecot. Where they differ, the message
must be one for which docs/differences.md says why."""

import re

import pytest

# Of what real mail has; each is asked of each of the keys for texts.
WORDS = ("the", "re", "example", "@", "caf", "\u00e9", "utf-8", "=?",
         "zzz-nowhere", "")
FIELDS = ("Subject", "From", "To", "Cc", "Message-ID", "References",
          "Content-Type", "X-Mailer", "Received", "Date", "X-None")
FLAGS = ("ALL ANSWERED DELETED DRAFT FLAGGED SEEN UNANSWERED UNDELETED UNDRAFT "
         "UNFLAGGED UNSEEN").split()
DATES = ("1-Jan-1990", "14-Nov-2003", "1-Jan-2010", "14-Nov-2023",
         "1-Jan-2030")
SIZES = (0, 1, 300, 1000, 5000, 100000)


def literal(text):
    """A string of any bytes, as one that isn't waited for."""
    data = text.encode()
    return f"{{{len(data)}+}}\r\n{text}"


def keys():
    yield from FLAGS
    for date in DATES:
        for key in ("BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON",
                    "SENTSINCE"):
            yield f"{key} {date}"
    for size in SIZES:
        yield f"LARGER {size}"
        yield f"SMALLER {size}"
    for word in WORDS:
        for key in ("BCC", "CC", "FROM", "SUBJECT", "TO", "BODY", "TEXT"):
            yield f"{key} {literal(word)}"
        for field in FIELDS:
            yield f"HEADER {field} {literal(word)}"
    yield "OLDER 1"
    yield "YOUNGER 4000000000"
    yield "KEYWORD $Junk"
    yield "UNKEYWORD $Junk"
    yield "1:10,*"
    yield "UID 5:20"
    yield "OR SEEN FROM example"
    yield "NOT (SUBJECT re UNSEEN)"
    yield "OR (NOT TO com) (OR CC a BODY the)"


def numbers(client, command, word):
    found = []
    for text in client.do(command):
        if text.startswith(b"* " + word):
            found += [int(n) for n in text[len(word) + 2:].split()]
    return found


# What SORT looks at: the place in ENVELOPE, in what each compares.
PLACES = {"DATE": 0, "SUBJECT": 1, "FROM": 2, "TO": 5, "CC": 6,
          "DISPLAYFROM": 2, "DISPLAYTO": 5}


@pytest.fixture(scope="module")
def two(ours, theirs):
    for client in (ours, theirs):
        client.do("EXAMINE INBOX")
    return ours, theirs


@pytest.fixture(scope="module")
def envelopes(two):
    return [client.fetch("1:*", "ENVELOPE")[0] for client in two]


def plain(envelopes, n, place):
    """Whether both tell the same of a field, which is there and is sound."""
    a, b = (e[n]["ENVELOPE"][place] for e in envelopes)
    if a != b or a is None or a == b"":
        return False
    if place == 0:
        return re.fullmatch(rb"\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d "
                            rb"[-+]\d{4}( \(.*\))?", a) is not None
    if place == 1:
        return b"=?" not in a   # an encoded word that is damaged
    return all(None not in (one[2], one[3]) for one in a)


# What a key looks at, for plain(); None: the body.
LOOKS_AT = {"FROM": 2, "TO": 5, "CC": 6, "BCC": 7, "SUBJECT": 1,
            "SENTBEFORE": 0, "SENTON": 0, "SENTSINCE": 0, "BODY": None,
            "TEXT": None}


def explained(key, n, ours_only, envelopes, structures):
    """Whether docs/differences.md has a reason for the message."""
    words = [w for w in re.findall(r"[A-Z]+|From|To|Cc|Subject", key)
             if w.upper() in LOOKS_AT]
    for place in {LOOKS_AT[w.upper()] for w in words} - {None}:
        if not plain(envelopes, n, place):
            return True     # no such field, or a damaged one
    subject = envelopes[0][n]["ENVELOPE"][1] or b""
    if "=?" in key and b"=?" in subject:
        return True         # an encoded word that is none
    return ours_only and {"BODY", "TEXT"} & set(words) and \
        n in structures     # messages in it, or text where they see none


def test_search(two, envelopes, messages):
    names = [name for name, _ in messages]
    got, other = ({n: repr(one).lower() for n, one in
                   c.fetch("1:*", "BODY")[0].items()} for c in two)
    structures = {n for n, one in got.items()
                  if "message" in one or one != other[n]}
    bad, agreed = [], 0
    for key in keys():
        a, b = (set(numbers(c, f"SEARCH CHARSET UTF-8 {key}", b"SEARCH"))
                for c in two)
        rest = [n for n in a ^ b
                if not explained(key, n, n in a, envelopes, structures)]
        agreed += a == b
        if rest:
            bad.append(f"{key!r}: only Postern "
                       f"{[names[n - 1] for n in rest if n in a][:12]} only "
                       f"Dovecot {[names[n - 1] for n in rest if n in b][:12]}")
    assert not bad, f"{len(bad)}\n" + "\n".join(bad)
    assert agreed > 180


@pytest.mark.parametrize("keys", [
    "ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "REVERSE DATE",
    "REVERSE SUBJECT", "SUBJECT REVERSE DATE", "FROM SUBJECT", "DISPLAYFROM",
    "DISPLAYTO"])
def test_sort(two, envelopes, messages, keys):
    """Those with sound fields stand in the same order."""
    names = [name for name, _ in messages]
    a, b = (numbers(c, f"SORT ({keys}) UTF-8 ALL", b"SORT") for c in two)
    assert sorted(a) == sorted(b) == list(range(1, len(names) + 1))
    for place in {PLACES[key] for key in keys.split() if key in PLACES}:
        a, b = ([n for n in x if plain(envelopes, n, place)] for x in (a, b))
    assert len(a) > 40 or "CC" in keys
    moved = [(names[x - 1], names[y - 1]) for x, y in zip(a, b) if x != y]
    assert not moved, f"{len(moved)} {moved[:10]}"


def threads(client, kind):
    """The roots' trees, as sets of (parent, child)."""
    text = b"".join(t for t in client.do(f"THREAD {kind} UTF-8 ALL")
                    if t.startswith(b"* THREAD"))
    pairs, stack, last = set(), [], 0
    for token in re.findall(rb"[()]|\d+", text[len(b"* THREAD"):]):
        if token == b"(":
            stack.append(last)
        elif token == b")":
            last = stack.pop()
        else:
            pairs.add((last, int(token)))
            last = int(token)
    return pairs


@pytest.mark.parametrize("kind", ["REFERENCES", "REFS", "ORDEREDSUBJECT"])
def test_thread(two, messages, kind):
    if kind == "ORDEREDSUBJECT":
        pytest.skip("Dovecot has none")
    names = ["-"] + [name for name, _ in messages]
    a, b = (threads(c, kind) for c in two)
    assert {n for _, n in a} == {n for _, n in b}
    only = [[f"{names[p]} > {names[n]}" for p, n in sorted(x)][:12]
            for x in (a - b, b - a)]
    assert a == b, f"{len(a - b)} Postern {only[0]} Dovecot {only[1]}"
