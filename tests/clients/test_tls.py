"""Certificates of the server and of its clients."""

import base64
import contextlib
import os
import socket
import ssl
import subprocess

import pytest
import postern
from postern import ANN, JOE, Lines, imap, wait_for


def started(fresh, **keys):
    s = fresh(**keys)
    s.add_user(JOE)
    s.add_user(ANN)
    return s


def shown(server, name="localhost", service="imapd-ssl"):
    """The certificate that a client is shown, PEM."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port[service]),
                                  10) as sock, \
            context.wrap_socket(sock, server_hostname=name) as tls:
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True))


def pem(path):
    return path.with_suffix(".crt").read_text()


def own(server, path):
    if server.uid is not None and os.geteuid() == 0:
        os.chown(path, server.uid, server.uid)


def renew(server, path):
    """A new certificate under the old name, as an ACME client leaves it."""
    fresh = path.with_name("fresh.pem")
    postern.make_cert(fresh)
    own(server, fresh)
    fresh.replace(path)
    fresh.with_suffix(".crt").replace(path.with_suffix(".crt"))


def test_certificates_are_read_again_when_they_change(fresh):
    s = started(fresh)
    s.start()
    first = pem(s.cert)
    with imap(s, service="imapd-ssl") as open_one:
        assert shown(s) == first
        renew(s, s.cert)
        assert pem(s.cert) != first
        for service in ("imapd-ssl", "pop3d-ssl"):
            wait_for(lambda x=service: shown(s, service=x) == pem(s.cert),
                     "the new certificate")
        # One for a name of its own, while nothing is restarted.
        other = s.base / "other.pem"
        postern.make_cert(other)
        named = s.cert.with_name("server.pem.mail.example.com")
        other.replace(named)
        own(s, named)
        wait_for(lambda: shown(s, "mail.example.com") == pem(other),
                 "the certificate of the name")
        assert shown(s) == pem(s.cert)
        # And one for an address: clients that send no name get it.
        by_address = s.base / "address.pem"
        postern.make_cert(by_address)
        named = s.cert.with_name("server.pem.127.0.0.1")
        by_address.replace(named)
        own(s, named)
        wait_for(lambda: shown(s, None) == pem(by_address),
                 "the certificate of the address")
        assert shown(s, "mail.example.com") == pem(other)
        open_one.ok("NOOP")


def test_a_broken_certificate_does_not_end_tls(fresh):
    s = started(fresh)
    s.start()
    good = pem(s.cert)
    s.cert.write_text(good)  # the key is gone
    s.wait_log(r"tls: IMAP: no certificate can be used; the one of before")
    assert shown(s) == good
    with Lines(s.connect()) as c:
        assert "STARTTLS" in c.line()
    renew(s, s.cert)
    wait_for(lambda: shown(s) == pem(s.cert), "the good one")
