"""Messages made up for the comparison with Dovecot: made() gives their names
and bytes, the same at each call. A base set by hand, and each of it damaged
in the ways that the wild knows."""

import base64
import random

PLAIN = b"""\
From: Ann <ann@example.com>
To: Joe <joe@example.com>
Subject: plain
Date: Mon, 7 Feb 1994 21:52:25 -0800
Message-ID: <plain@example.com>

Hello.
"""

MIXED = b"""\
From: Ann <ann@example.com>
To: Joe <joe@example.com>
Subject: mixed
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="frontier"

This is the preamble.
--frontier
Content-Type: text/plain; charset=utf-8

Text.
--frontier
Content-Type: application/octet-stream; name="a file.bin"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="a file.bin"; size=12
Content-ID: <part2@example.com>
Content-Description: twelve bytes
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Language: en, de
Content-Location: http://example.com/a

SGVsbG8sIHdvcmxk
--frontier--
This is the epilogue.
"""

NESTED = b"""\
From: ann@example.com
Subject: nested
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner

Text.
--inner
Content-Type: text/html

<p>Text.</p>
--inner--
--outer
Content-Type: message/rfc822
Content-Description: forwarded

From: Bob <bob@example.com>
To: ann@example.com
Subject: inside
Content-Type: multipart/mixed; boundary=deep

--deep
Content-Type: text/plain

Deep.
--deep
Content-Type: message/rfc822

Subject: deeper
From: cy@example.com

Deepest.
--deep--
--outer
Content-Type: multipart/digest; boundary=dig

--dig

Subject: one

1
--dig

Subject: two

2
--dig--
--outer--
"""

REPORT = b"""\
From: MAILER-DAEMON@example.com
To: ann@example.com
Subject: report
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=r

--r
Content-Type: text/plain

It failed.
--r
Content-Type: message/delivery-status

Reporting-MTA: dns; example.com

Final-Recipient: rfc822; joe@example.com
Action: failed
Status: 5.1.1
--r
Content-Type: text/rfc822-headers

Subject: lost
--r--
"""

QP = b"""\
From: =?iso-8859-1?Q?J=F6rg?= <joerg@example.com>
Subject: =?utf-8?B?w6TDtsO8?= =?utf-8?Q?_und?=
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

J=F6rg =
sagt=20
=3D
"""

BASES = {"plain": PLAIN, "mixed": MIXED, "nested": NESTED,
         "report": REPORT, "qp": QP}

# Single header fields: each becomes a message of its own.
FIELDS = {
    "from-bare": "From: ann@example.com",
    "from-comment": "From: ann@example.com (Ann)",
    "from-comment-nested": "From: ann@example.com (Ann (the other))",
    "from-quoted": 'From: "Doe, Ann" <ann@example.com>',
    "from-escaped": 'From: "Ann \\"A\\" Doe" <ann@example.com>',
    "from-phrase": "From: Ann Q. Doe <ann@example.com>",
    "from-empty": "From:",
    "from-blank": "From:   ",
    "from-two": "From: ann@example.com, bob@example.com",
    "from-no-comma": "From: <ann@example.com> <bob@example.com>",
    "from-no-host": "From: ann",
    "from-angle-no-host": "From: Ann <ann>",
    "from-null": "From: <>",
    "from-name-null": "From: Ann <>",
    "from-no-close": "From: Ann <ann@example.com",
    "from-two-at": "From: ann@bob@example.com",
    "from-space-dot": "From: Ann <ann . doe @ example . com>",
    "from-route": "From: Ann <@a.example,@b.example:ann@example.com>",
    "from-literal": "From: ann@[192.0.2.1]",
    "from-quoted-local": 'From: "ann doe"@example.com',
    "from-quoted-at": 'From: "ann@home"@example.com',
    "from-8bit": "From: J\xf6rg <joerg@example.com>",
    "from-utf8": "From: \u00c4nn <\u00e4nn@ex\u00e4mple.com>",
    "from-word": "From: =?utf-8?Q?=C3=84nn?= <ann@example.com>",
    "from-semicolon": "From: ann@example.com; bob@example.com",
    "from-only-name": "From: Ann Doe",
    "from-folded": "From: Ann\n\t<ann@example.com>",
    "from-folded-quoted": 'From: "Ann\n Doe" <ann@example.com>',
    "from-backslash": 'From: "Ann\\',
    "from-open-comment": "From: ann@example.com (Ann",
    "from-open-quote": 'From: "Ann <ann@example.com>',
    "from-commas": "From: ,,ann@example.com,,",
    "from-x400": "From: /C=de/ADMD=dbp/@example.com",
    "to-group": "To: Friends: ann@example.com, Bob <bob@example.com>;",
    "to-group-empty": "To: undisclosed-recipients:;",
    "to-group-space": "To: undisclosed recipients : ;",
    "to-group-open": "To: Friends: ann@example.com",
    "to-group-two": "To: A: a@example.com;, B: b@example.com;",
    "to-group-mixed": "To: x@example.com, A: a@example.com;, y@example.com",
    "to-group-quoted": 'To: "My: Friends": a@example.com;',
    "to-undisclosed": 'To: undisclosed-recipients:',
    "to-many": "To: " + ", ".join(f"u{n}@example.com" for n in range(50)),
    "to-twice": "To: ann@example.com\nTo: bob@example.com",
    "cc-bcc": "Cc: c@example.com\nBcc: b@example.com",
    "reply-sender": "From: a@example.com\nSender: s@example.com\n"
                    "Reply-To: r@example.com",
    "sender-empty": "From: a@example.com\nSender:\nReply-To:",
    "subject-none": "X-None: 1",
    "subject-empty": "Subject:",
    "subject-blank": "Subject:  ",
    "subject-folded": "Subject: one\n two\n\tthree",
    "subject-trailing": "Subject: one  ",
    "subject-tabs": "Subject:\tone\ttwo",
    "subject-folded-empty": "Subject: one\n \n two",
    "subject-first-folded": "Subject:\n one",
    "subject-quote": 'Subject: a "quoted" \\ word',
    "subject-8bit": "Subject: \xe4\xf6\xfc",
    "subject-utf8": "Subject: \u00e4\u00f6\u00fc \u4e2d\u6587",
    "subject-long": "Subject: " + "word " * 400,
    "subject-twice": "Subject: first\nSubject: second",
    "subject-nul": "Subject: a\0b",
    "subject-control": "Subject: a\x01\x1b[31mb\x7f",
    "subject-space-colon": "Subject : blank before the colon",
    "subject-cr": "Subject: a\rb",
    "date-none": "X-None: 1",
    "date-odd": "Date: yesterday",
    "date-comment": "Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)",
    "date-empty": "Date:",
    "message-id-odd": "Message-ID: no brackets",
    "message-id-two": "Message-ID: <a@b>\nMessage-ID: <c@d>",
    "message-id-comment": "Message-ID: (c) <a@b> (d)",
    "in-reply-to": "In-Reply-To: <a@b>\n <c@d>",
    "in-reply-to-text": "In-Reply-To: Your message of Monday <a@b>",
    "no-colon": "From: a@example.com\nthis is no field\nTo: b@example.com",
    "no-name": "From: a@example.com\n: nothing\nTo: b@example.com",
    "mbox-from": "From ann@example.com Mon Feb  7 21:52:25 1994\n"
                 "From: a@example.com",
    "first-folded": " folded from the start\nFrom: a@example.com",
    "long-name": "X-" + "n" * 2000 + ": v\nFrom: a@example.com",
    "type-none": "MIME-Version: 1.0",
    "type-empty": "Content-Type:",
    "type-text": "Content-Type: text",
    "type-slash": "Content-Type: text/",
    "type-odd": "Content-Type: foo bar/baz",
    "type-upper": "Content-Type: TEXT/HTML; CHARSET=UTF-8",
    "type-semicolon": "Content-Type: text/plain;",
    "type-semicolons": "Content-Type: text/plain;;; charset=utf-8;;",
    "type-comment": "Content-Type: text/plain (really); (c) charset=utf-8 (d)",
    "type-space": "Content-Type: text / plain ; charset = utf-8",
    "type-unquoted": "Content-Type: application/pdf; name=a b c.pdf",
    "type-no-value": "Content-Type: text/plain; charset",
    "type-empty-value": "Content-Type: text/plain; charset=",
    "type-empty-quoted": 'Content-Type: text/plain; charset=""',
    "type-open-quote": 'Content-Type: text/plain; charset="utf-8',
    "type-escaped": 'Content-Type: text/plain; name="a\\"b\\\\c"',
    "type-twice": "Content-Type: text/html\nContent-Type: text/plain",
    "type-param-twice": "Content-Type: text/plain; charset=a; charset=b",
    "type-2231": "Content-Type: text/plain; name*=utf-8''a%20%C3%A4.txt",
    "type-2231-cont": "Content-Type: text/plain; name*0=\"abc\";\n"
                      " name*1=\"def\"",
    "type-2231-cont-ext": "Content-Type: text/plain;\n"
                          " name*0*=utf-8'en'a%20; name*1*=b%C3%A4;\n"
                          " name*2=\"c d\"",
    "type-2231-order": "Content-Type: text/plain; name*1=b; name*0=a",
    "type-2231-gap": "Content-Type: text/plain; name*0=a; name*2=c",
    "type-2231-both": "Content-Type: text/plain; name=a; name*=utf-8''b",
    "type-8bit": "Content-Type: application/pdf; name=\"\xe4.pdf\"",
    "type-word": "Content-Type: application/pdf;"
                 " name=\"=?utf-8?B?w6Q=?=.pdf\"",
    "type-folded": "Content-Type: text/plain;\n\tcharset=utf-8;\n format=flowed",
    "type-comma": "Content-Type: text/plain, charset=utf-8",
    "type-multipart-none": "Content-Type: multipart/mixed",
    "type-multipart-empty": "Content-Type: multipart/mixed; boundary=\"\"",
    "type-multipart-blank": "Content-Type: multipart/mixed; boundary=\" \"",
    "type-multipart-unused": "Content-Type: multipart/mixed; boundary=never",
    "type-message": "Content-Type: message/rfc822",
    "type-message-base64": "Content-Type: message/rfc822\n"
                           "Content-Transfer-Encoding: base64",
    "type-message-global": "Content-Type: message/global",
    "type-message-partial": "Content-Type: message/partial; number=1; id=x",
    "type-message-external": "Content-Type: message/external-body;"
                             " access-type=local-file",
    "encoding-odd": "Content-Transfer-Encoding: x-uuencode",
    "encoding-empty": "Content-Transfer-Encoding:",
    "encoding-comment": "Content-Transfer-Encoding: (c) base64 (d)",
    "encoding-semicolon": "Content-Transfer-Encoding: 8bit;",
    "encoding-quoted": 'Content-Transfer-Encoding: "7bit"',
    "encoding-twice": "Content-Transfer-Encoding: 7bit\n"
                      "Content-Transfer-Encoding: 8bit",
    "disposition": "Content-Disposition: inline",
    "disposition-upper": "Content-Disposition: ATTACHMENT; FILENAME=A",
    "disposition-empty": "Content-Disposition:",
    "disposition-params": "Content-Disposition: ; filename=a",
    "disposition-2231": "Content-Disposition: attachment;\n"
                        " filename*0*=iso-8859-1''%E4; filename*1*=%F6",
    "disposition-unquoted": "Content-Disposition: attachment; filename=a b.txt",
    "language-one": "Content-Language: en",
    "language-many": "Content-Language: en, de ,fr",
    "language-comment": "Content-Language: en (English)",
    "language-empty": "Content-Language:",
    "location-folded": "Content-Location: http://example.com/\n a",
    "id-empty": "Content-ID:",
    "description-folded": "Content-Description: one\n two",
    "description-word": "Content-Description: =?utf-8?Q?=C3=A4?=",
    "md5-blank": "Content-MD5:   ",
}

# Multiparts that somebody got wrong: body below the boundary "b".
BODIES = {
    "no-parts": "",
    "only-close": "--b--\n",
    "close-first": "--b--\n--b\n\nlate\n--b--\n",
    "unterminated": "--b\n\none\n--b\n\ntwo\n",
    "no-last-newline": "--b\n\none\n--b--",
    "delimiter-at-end": "--b\n\none\n--b",
    "empty-part": "--b\n--b--\n",
    "empty-part-line": "--b\n\n--b--\n",
    "empty-parts": "--b\n--b\n--b\n--b--\n",
    "no-blank-line": "--b\nContent-Type: text/html\n--b--\n",
    "text-at-once": "--b\nno header at all\nbut text\n--b--\n",
    "header-only-colon": "--b\nContent-Type: text/html\nno field\n\nx\n--b--\n",
    "trailing-space": "--b  \n\none\n--b-- \t\nepilogue\n",
    "longer-boundary": "--b\n\none\n--bb\ntwo\n--b--\n",
    "text-behind": "--b\n\none\n--b and more\n\ntwo\n--b--\n",
    "text-behind-close": "--b\n\none\n--b--rest\n--b\n\ntwo\n--b--\n",
    "blank-before": "--b\n\none\n --b\n--b--\n",
    "dashes": "--b\n\n--\n---\n--b-\n--b--\n",
    "same-boundary-nested": "--b\nContent-Type: multipart/mixed; boundary=b\n"
                            "\n--b\n\none\n--b--\n--b--\n",
    "prefix-nested": "--b\nContent-Type: multipart/mixed; boundary=bc\n\n"
                     "--bc\n\none\n--bc--\n--b--\n",
    "prefix-nested-2": "--b\nContent-Type: multipart/mixed; boundary=\"b--\"\n"
                       "\n--b--\n\none\n--b----\n--b--\n",
    "nested-unterminated": "--b\nContent-Type: multipart/mixed; boundary=c\n\n"
                           "--c\n\none\n--b\n\ntwo\n--b--\n",
    "nested-never": "--b\nContent-Type: multipart/mixed; boundary=c\n\n"
                    "text\n--b\n\ntwo\n--b--\n",
    "message-empty": "--b\nContent-Type: message/rfc822\n\n--b--\n",
    "message-header": "--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--\n",
    "message-body-only": "--b\nContent-Type: message/rfc822\n\n\ntext\n--b--\n",
    "message-cut": "--b\nContent-Type: message/rfc822\n\nSubject: x\n\ny\n",
    "message-multipart-cut": "--b\nContent-Type: message/rfc822\n\n"
                             "Content-Type: multipart/mixed; boundary=c\n\n"
                             "--c\n\nx\n--b--\n",
    "message-qp": "--b\nContent-Type: message/rfc822\n"
                  "Content-Transfer-Encoding: quoted-printable\n\n"
                  "Subject: x=3D\n\ny\n--b--\n",
    "message-in-message": "--b\nContent-Type: message/rfc822\n\n"
                          "Content-Type: message/rfc822\n\nSubject: x\n\ny\n"
                          "--b--\n",
    "crlf-mixed": "--b\r\n\r\none\n--b\n\ntwo\r\n--b--\r\n",
    "cr-lone": "--b\n\none\rtwo\r\r\n--b--\n",
    "nul": "--b\n\none\0two\n--b--\n",
    "8bit": "--b\n\n\xe4\xf6\xfc\n--b--\n",
    "preamble-delimiter": "--a\n\n--b\n\none\n--b--\n",
    "digest-default": "--b\n\nSubject: no digest\n\nx\n--b--\n",
    "base64-odd": "--b\nContent-Transfer-Encoding: base64\n\n"
                  "SGVsbG8\n=SGVs!bG8=\n--b--\n",
    "base64-cut": "--b\nContent-Transfer-Encoding: base64\n\nSGVsb\n--b--\n",
    "base64-empty": "--b\nContent-Transfer-Encoding: base64\n\n--b--\n",
    "qp-odd": "--b\nContent-Transfer-Encoding: quoted-printable\n\n"
              "=\n=3\n=XY  \n=3d\t\n--b--\n",
    "uuencode": "--b\nContent-Transfer-Encoding: x-uuencode\n\nbegin\n--b--\n",
    "many": "".join(f"--b\n\n{n}\n" for n in range(120)) + "--b--\n",
    "long-line": "--b\n\n" + "x" * 20000 + "\n--b--\n",
    "long-header-line": "--b\nX: " + "x" * 20000 + "\n\ny\n--b--\n",
}


def with_field(field):
    return field.encode("utf-8" if max(field) > "\xff" else "latin-1") \
        + b"\n\nbody\n"


def with_body(name, body):
    kind = "digest" if name.startswith("digest") else "mixed"
    return (f"From: a@example.com\nSubject: {name}\n"
            f"Content-Type: multipart/{kind}; boundary=b\n\n{body}"
            ).encode("latin-1")


def chain(n):
    """Multiparts in multiparts."""
    head, tail = b"Subject: chain\n", b""
    for i in range(n):
        head += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (
            i, i)
        tail = b"\n--b%d--" % i + tail
    return head + b"\ninnermost" + tail + b"\n"


def damaged(rnd, data):
    """(name, bytes) of a message after what may happen to one."""
    lines = data.split(b"\n")
    yield "crlf", data.replace(b"\n", b"\r\n")
    yield "no-newline", data.rstrip(b"\n")
    yield "no-blank-lines", b"\n".join(li for li in lines if li)
    yield "double-blank", data.replace(b"\n\n", b"\n\n\n")
    yield "cut-header", data[:60]
    for n in range(8):
        yield f"cut-{n}", data[:rnd.randrange(len(data))]
    for n in range(6):
        at = rnd.randrange(len(data))
        yield f"byte-{n}", data[:at] + bytes([rnd.choice(
            b"\r\n\0:;=\"()<>\\-\xff ")]) + data[at + 1:]
    for n in range(4):
        some = lines[:]
        del some[rnd.randrange(len(some))]
        yield f"lost-line-{n}", b"\n".join(some)
    for n in range(4):
        some = lines[:]
        i, j = rnd.randrange(len(some)), rnd.randrange(len(some))
        some[i], some[j] = some[j], some[i]
        yield f"swapped-{n}", b"\n".join(some)


def made():
    """All of them: (name, bytes)."""
    rnd = random.Random(4)
    for name, data in BASES.items():
        yield name, data
        for how, bad in damaged(rnd, data):
            yield f"{name}-{how}", bad
    for name, field in FIELDS.items():
        yield f"field-{name}", with_field(field)
    for name, body in BODIES.items():
        yield f"body-{name}", with_body(name, body)
    yield "chain-20", chain(20)
    yield "header-only", b"Subject: only\n"
    yield "header-no-newline", b"Subject: only"
    yield "body-only", b"\nbody\n"
    yield "newline", b"\n"
    yield "newlines", b"\n\n\n"
    yield "one-byte", b"x"
    yield "binary", bytes(range(256)) * 8
    yield "base64-big", (
        b"Content-Type: application/octet-stream\n"
        b"Content-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(bytes(range(256)) * 200))
