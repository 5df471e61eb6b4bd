"""What two servers say of the same messages, item by item."""

import os
import pathlib

import make

CORPUS = pathlib.Path(__file__).parent / "corpus"
EPOCH = 1_600_000_000
WHOLE = ("RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[] "
         "BODY.PEEK[HEADER] BODY.PEEK[TEXT] "
         "BODY.PEEK[HEADER.FIELDS (SUBJECT X-None FROM)] "
         "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT DATE)]")


def corpus():
    """All messages: (name, bytes)."""
    found = [(f"{path.parent.name}/{path.name}", path.read_bytes())
             for path in sorted(CORPUS.glob("*/*"))]
    return found + list(make.made())


def fill(maildir, messages):
    """A Maildir of them, a minute between each, so that order is certain."""
    for sub in ("tmp", "new", "cur"):
        (maildir / sub).mkdir(parents=True, exist_ok=True)
    for n, (_, data) in enumerate(messages):
        path = maildir / "cur" / f"{EPOCH + n * 60}.M{n}P1.test:2,S"
        path.write_bytes(data)
        os.utime(path, (EPOCH + n * 60,) * 2)


def is_multipart(body):
    return isinstance(body, list) and body and isinstance(body[0], list)


def paths(body, prefix=""):
    """The section numbers of a body structure, and which are messages."""
    found = []
    todo = [(body, prefix, True)]
    while todo:
        one, where, whole = todo.pop()
        if is_multipart(one):
            for n, part in enumerate(
                    [p for p in one if isinstance(p, list)], 1):
                if not (part and isinstance(part[0], (list, bytes))):
                    break
                path = f"{where}.{n}" if where else str(n)
                found.append((path, is_message(part)))
                todo.append((part, path, False))
                if is_message(part) and len(part) > 8:
                    todo.append((part[8], path, True))
        elif whole:
            path = f"{where}.1" if where else "1"
            found.append((path, is_message(one)))
            if is_message(one) and len(one) > 8:
                todo.append((one[8], path, True))
    return found


def is_message(part):
    return not is_multipart(part) and len(part) > 9 and \
        part[0] is not None and part[0].lower() == b"message" and \
        part[1] is not None and part[1].lower() == b"rfc822"


def sections(bodies):
    """What to ask of a message, by what both servers say of its parts."""
    wanted = {}
    for body in bodies:
        for path, message in paths(body):
            wanted[path] = wanted.get(path, False) or message
    last = max((int(p) for p in wanted if "." not in p), default=0)
    wanted[str(last + 1)] = False
    words = []
    for path, message in sorted(wanted.items())[:40]:
        words += [f"BODY.PEEK[{path}]", f"BODY.PEEK[{path}.MIME]"]
        if message:
            words += [f"BODY.PEEK[{path}.HEADER]", f"BODY.PEEK[{path}.TEXT]",
                      f"BODY.PEEK[{path}.HEADER.FIELDS (Subject)]"]
    return words


def differences(ours, theirs, messages):
    """(name, item, ours, theirs) of two clients with the mailbox open."""
    for client in (ours, theirs):
        client.do("EXAMINE INBOX")
    both = [client.fetch("1:*", WHOLE)[0] for client in (ours, theirs)]
    for n, (name, _) in enumerate(messages, 1):
        yield from unlike(name, *(b.get(n, {}) for b in both))
    for n, (name, _) in enumerate(messages, 1):
        bodies = [b[n]["BODYSTRUCTURE"] for b in both]
        words = sections(bodies)
        yield from unlike(name, *(c.fetch(n, " ".join(words))[0].get(n, {})
                                  for c in (ours, theirs)))


def unlike(name, ours, theirs):
    for item in sorted(ours.keys() | theirs.keys()):
        if ours.get(item, "missing") != theirs.get(item, "missing"):
            yield (name, item, ours.get(item, "missing"),
                   theirs.get(item, "missing"))


def leaves(body):
    """The section numbers of parts that have none below them."""
    found = [path for path, _ in paths(body)]
    return [path for path in found
            if not any(other.startswith(path + ".") for other in found)]
