"""A client of SCRAM, written from RFC 5802."""

import base64
import hashlib
import hmac
import os


def b64(text):
    if isinstance(text, str):
        text = text.encode()
    return base64.b64encode(text).decode()


class Scram:
    """The client's side of RFC 5802."""

    def __init__(self, name, user, password, header="n,,", binding=b""):
        self.hash = "sha1" if "SHA-1" in name.split("-256")[0] else "sha256"
        self.password = password.encode()
        self.header = header
        self.binding = binding
        self.bare = f"n={user},r={b64(os.urandom(18))}"

    def first(self):
        return self.header + self.bare

    def final(self, server_first):
        fields = dict(f.split("=", 1) for f in server_first.split(","))
        self.salt, self.iterations = fields["s"], int(fields["i"])
        salted = hashlib.pbkdf2_hmac(
            self.hash, self.password, base64.b64decode(self.salt),
            self.iterations)
        bare = (f"c={b64(self.header.encode() + self.binding)},"
                f"r={fields['r']}")
        message = f"{self.bare},{server_first},{bare}"
        client = self.mac(salted, "Client Key")
        stored = hashlib.new(self.hash, client).digest()
        proof = bytes(a ^ b for a, b in
                      zip(client, self.mac(stored, message)))
        self.verifier = "v=" + b64(
            self.mac(self.mac(salted, "Server Key"), message))
        return f"{bare},p={b64(proof)}"

    def mac(self, key, text):
        return hmac.new(key, text.encode(), self.hash).digest()
