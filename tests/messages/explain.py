"""Why Postern and Dovecot tell something else of a message: explain() names
the class of a difference as docs/differences.md does, or None."""

import re

# Dovecot's words for what an address lacks.
PLACEHOLDERS = (b"MISSING_DOMAIN", b"MISSING_MAILBOX", b"SYNTAX_ERROR")
DASHES = re.compile(rb"^--[^\r\n]*\r?\n", re.M)
TYPE = re.compile(rb"^content-type[ \t]*:((?:[^\r\n]|\r?\n[ \t]|\r(?!\n))*)",
                  re.M | re.I)
TOKEN = rb"[^\s()<>@,;:\\\"/\[\]?=]+"
GOOD_TYPE = re.compile(rb"\s*%s/%s\s*(;|$)" % (TOKEN, TOKEN))


def lower(v):
    if isinstance(v, list):
        return [lower(x) for x in v]
    return v.lower() if isinstance(v, bytes) else v


def is_part(v):
    return isinstance(v, list) and v and isinstance(v[0], (list, bytes))


# --- of the whole message ---------------------------------------------------

def headless(data):
    """A part begins with a line that is no header field."""
    for match in DASHES.finditer(data):
        line = data[match.end():].split(b"\n", 1)[0].rstrip(b"\r")
        if line and not line.startswith(b"--") and \
                not re.match(rb"[!-9;-~]+[ \t]*:", line):
            return True
    return False


def boundaries(data):
    found = re.findall(rb"boundary[^=;\r\n]*=\s*(?:\"([^\"\r\n]*)|([^\s;]+))",
                       data, re.I)
    return {a or b for a, b in found if (a or b).strip()}


def odd_delimiter(data):
    """A line begins with a delimiter, and goes on, or ends the file."""
    for boundary in boundaries(data):
        start = re.escape(b"--" + boundary)
        if re.search(rb"(?m)^%s(?!(--)?[ \t]*\r?\n)" % start, data):
            return True
    return False


def bad_type(data):
    """A Content-Type that is not in the grammar of RFC 2045 5.1."""
    return any(not GOOD_TYPE.match(re.sub(rb"\([^()]*\)", b"", value))
               for value in TYPE.findall(data))


def bad_boundary(data):
    """A multipart without a boundary that could be, or with an odd one."""
    for value in TYPE.findall(data):
        if re.match(rb"\s*multipart", value, re.I) and not re.search(
                rb";\s*boundary\s*=\s*(\"[^\"\s][^\"]*\"|[^\"\s;]+)",
                value, re.I):
            return True
    return False


def bare_cr(data):
    return re.search(rb"\r(?!\n)", data) is not None


# --- of a body structure ----------------------------------------------------

def of_params(ours, theirs):
    """What two lists of parameters differ in."""
    if ours is None or theirs is None or len(ours) != len(theirs):
        return "parameters"
    for a, b in zip(ours, theirs):
        if a != b:
            return "case" if lower(a) == lower(b) else "parameters"
    return None


def of_size(ours, theirs, n):
    return int(theirs) - int(ours) == n


def of_single(ours, theirs, found):
    """A part that is no multipart, in both."""
    if lower(theirs[:2]) == [b"message", b"rfc822"] and \
            ours[:2] == [b"APPLICATION", b"OCTET-STREAM"]:
        found.add("message")
        return
    if lower(ours[:2]) != lower(theirs[:2]):
        found.add("type" if b"" in (theirs[0], theirs[1]) else None)
        return
    if ours[:2] != theirs[:2]:
        found.add("case")
    if ours[2] != theirs[2]:
        found.add(of_params(ours[2], theirs[2]))
    for i in (3, 4):
        if ours[i] != theirs[i]:
            found.add("untyped" if theirs[i] is None else
                      "empty" if ours[i] is None and theirs[i] == b""
                      else None)
    if ours[5] != theirs[5]:
        found.add("case" if lower(ours[5]) == lower(theirs[5]) else
                  "encoding" if theirs[5] == b"7bit" else None)
    rest_ours, rest_theirs = ours[6:], theirs[6:]
    if rest_ours[0] != rest_theirs[0]:
        found.add("inner end" if of_size(rest_ours[0], rest_theirs[0], 2)
                  else "size")
    if lower(ours[0]) == b"message" and len(ours) != len(theirs):
        found.add("message")
        return
    if len(rest_ours) != len(rest_theirs):
        found.add(None)
        return
    for a, b in zip(rest_ours[1:], rest_theirs[1:]):
        of_tail(a, b, found)


def of_tail(ours, theirs, found):
    """Lines, an envelope, a body, or what BODYSTRUCTURE adds."""
    if ours == theirs:
        return
    if isinstance(ours, str) and isinstance(theirs, str):
        found.add("inner end" if of_size(ours, theirs, 1) else "size")
    elif is_body(ours) and is_body(theirs):
        of_body(ours, theirs, found)
    elif isinstance(ours, list) and isinstance(theirs, list) and \
            len(ours) == len(theirs) == 10:
        found.add(of_envelope(ours, theirs))
    elif theirs == [ours]:
        found.add("language")
    elif theirs is None:
        found.add("untyped")
    elif lower(ours) == lower(theirs):
        found.add("case")
    elif isinstance(ours, list) and isinstance(theirs, list) and \
            lower(ours[0]) == lower(theirs[0]):
        found.add("parameters")
    else:
        found.add(None)


def is_body(v):
    """Neither an envelope nor a list that BODYSTRUCTURE adds."""
    return is_part(v) and (isinstance(v[0], list) or
                           len(v) > 6 and isinstance(v[6], str))


def of_body(ours, theirs, found):
    multi = isinstance(ours[0], list), isinstance(theirs[0], list)
    if multi == (False, False):
        of_single(ours, theirs, found)
        return
    if multi[0] != multi[1]:
        found.add("boundary")
        return
    children = [[p for p in v if is_body(p)] for v in (ours, theirs)]
    if len(children[0]) != len(children[1]):
        found.add("parts")
        return
    for a, b in zip(*children):
        of_body(a, b, found)
    n = len(children[0])
    rest = ours[n:], theirs[n:]
    if len(rest[0]) != len(rest[1]) or lower(rest[0][0]) != lower(rest[1][0]):
        found.add("type" if rest[1][0] == b"" else None)
        return
    if len(rest[0]) > 1 and rest[0][1] != rest[1][1]:
        found.add(of_params(rest[0][1], rest[1][1]))
    for a, b in zip(rest[0][2:], rest[1][2:]):
        of_tail(a, b, found)


# What a class stands on that the structure alone does not show.
CAUSES = {
    "size": (headless, odd_delimiter, bad_type, bad_boundary),
    "parts": (headless, odd_delimiter, bad_type, bad_boundary),
    "boundary": (bad_boundary, bad_type),
    "type": (bad_type,),
}
NAMES = {headless: "headless part", odd_delimiter: "delimiter",
         bad_type: "type", bad_boundary: "boundary"}


def settle(classes, data):
    """The classes with their causes; None among them: not explained."""
    settled = set()
    for one in classes - {"same"}:
        if one in CAUSES:
            causes = [NAMES[f] for f in CAUSES[one] if f(data)]
            settled.add(causes[0] if causes else None)
        else:
            settled.add(one)
    return settled


# --- of an envelope ---------------------------------------------------------

def plain(v):
    """An envelope without what Dovecot makes of it."""
    if isinstance(v, list):
        return [plain(x) for x in v]
    if v in PLACEHOLDERS:
        return b""
    return re.sub(rb"[ \t]+", b" ", v) if isinstance(v, bytes) else v


def of_envelope(ours, theirs):
    if ours == theirs:
        return "same"
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if a == b or plain(a) == plain(b):
            continue
        if i in (2, 3, 4, 5, 6, 7):
            if b"SYNTAX_ERROR" in str(b).encode() or \
                    b"MISSING_" in str(b).encode():
                continue
            return "address"
        if a is None or b is None:
            return None
        return ("NUL" if b"\xef\xbf\xbd" in b else
                "blanks" if b"\r" in a else "twice")
    if any(word in repr(theirs).encode() for word in PLACEHOLDERS):
        return "address"
    return "blanks"


def same_sizes(ours, theirs):
    """Whether two structures have the same parts, encoded alike, of the same
    sizes."""
    found = set()
    of_body(ours, theirs, found)
    return found <= {"case", "same", "address", "blanks", "twice",
                     "parameters"}


# --- all --------------------------------------------------------------------

def of_section(item, ours, theirs, data):
    if ours is None and theirs == b"":
        return {"no such section"}
    if ours is None or theirs is None or "missing" in (ours, theirs):
        causes = [NAMES[f] for f in (headless, odd_delimiter, bad_type,
                                     bad_boundary) if f(data)]
        if not causes and re.search(rb"message/(rfc822|global)", data, re.I):
            causes = ["message"]
        return {causes[0] if causes else None}
    if b"\0" in ours:
        ours = ours.replace(b"\0", b"\x80")
        return {"NUL"} | (of_section(item, ours, theirs, data)
                          if ours != theirs else set())
    if "HEADER.FIELDS" in item and (
            ours + b"\r\n" == theirs or ours == theirs + b"\r\n"):
        return {"endless header"}
    if ours == theirs + b"\r\n" and item.endswith(".MIME]"):
        return {"endless header"}
    if ours + b"\r\n" == theirs:
        return {"inner end"}
    causes = [NAMES[f] for f in (headless, odd_delimiter, bad_type,
                                 bad_boundary) if f(data)]
    if not causes and bare_cr(data):
        causes = ["bare CR"]
    return {causes[0] if causes else None}


def explain(item, ours, theirs, data):
    """The classes that a difference falls into."""
    if item == "ENVELOPE":
        return {of_envelope(ours, theirs)}
    if item in ("BODY", "BODYSTRUCTURE"):
        found = set()
        of_body(ours, theirs, found)
        return settle(found, data) or {None}
    if item.startswith("BODY["):
        return of_section(item, ours, theirs, data)
    return {None}
