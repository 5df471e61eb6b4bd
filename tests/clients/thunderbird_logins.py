"""thunderbird_logins.py PROFILE ORIGIN USER PASSWORD: save a password in a new
profile, as Thunderbird's password manager does (key4.db, logins.json).

A program of its own, as it loads the libnss3 that the environment names.
"""

import base64
import ctypes
import json
import pathlib
import sys
import uuid


class Item(ctypes.Structure):
    _fields_ = [("type", ctypes.c_uint), ("data", ctypes.c_void_p),
                ("len", ctypes.c_uint)]


def check(status):
    if status != 0:
        sys.exit("thunderbird_logins: NSS failed")


def main():
    profile, origin, user, password = sys.argv[1:]
    nss = ctypes.CDLL("libnss3.so")
    nss.PK11_GetInternalKeySlot.restype = ctypes.c_void_p
    nss.PK11_InitPin.argtypes = [ctypes.c_void_p, ctypes.c_char_p,
                                 ctypes.c_char_p]
    check(nss.NSS_InitReadWrite(f"sql:{profile}".encode()))
    slot = nss.PK11_GetInternalKeySlot()
    check(nss.PK11_InitPin(slot, None, b""))

    def encrypt(text):
        data = text.encode()
        given = Item(0, ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p),
                     len(data))
        out = Item(0, None, 0)
        check(nss.PK11SDR_Encrypt(ctypes.byref(Item(0, None, 0)),
                                  ctypes.byref(given), ctypes.byref(out),
                                  None))
        return base64.b64encode(
            ctypes.string_at(out.data, out.len)).decode()

    now = 1_700_000_000_000
    pathlib.Path(profile, "logins.json").write_text(json.dumps({
        "nextId": 2, "version": 3, "potentiallyVulnerablePasswords": [],
        "dismissedBreachAlertsByLoginGUID": {},
        "logins": [{
            "id": 1, "hostname": origin, "httpRealm": origin,
            "formSubmitURL": None, "usernameField": "", "passwordField": "",
            "encryptedUsername": encrypt(user),
            "encryptedPassword": encrypt(password),
            "guid": "{%s}" % uuid.uuid4(), "encType": 1, "timeCreated": now,
            "timeLastUsed": now, "timePasswordChanged": now,
            "timesUsed": 1}]}))
    nss.NSS_Shutdown()


if __name__ == "__main__":
    main()
