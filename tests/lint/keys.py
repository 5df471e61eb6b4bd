"""Every key of server/conf/keys.def is in its sample and in postern(5), and
neither names a key that there is not."""

import re

from common import Report, text_of

KEY = re.compile(r"^CONF_KEY\((\w+), (\w+), (\w+), (.*?)\n?(?=\n?CONF_KEY|"
                 r"\n/\*|\Z)", re.S | re.M)
FILE = {"IMAPD": "imapd", "IMAPD_SSL": "imapd-ssl", "POP3D": "pop3d",
        "POP3D_SSL": "pop3d-ssl", "AUTHDAEMONRC": "authdaemonrc",
        "AUTHMYSQLRC": "authmysqlrc", "AUTHSQLITERC": "authsqliterc",
        "POSTERN": "postern"}

# Two names for one thing: the sample offers the one that works in Courier.
ALIASES = {"MYSQL_SSL_CIPHERS", "MYSQL_DEFAULTDELIVERY", "POP3DSTARTTLS"}


def keys():
    """(file, key, flags) of each row."""
    for file, name, _, rest in KEY.findall(text_of("server/conf/keys.def")):
        flags = set(re.findall(r"\b(HONOUR|NOT_YET|IGNORE|WARN|REFUSE|"
                               r"RELOAD)\b", rest))
        yield FILE[file], name, flags


def main():
    report = Report()
    rows = list(keys())
    report.check("keys.def is read", [] if len(rows) > 100 else
                 [f"only {len(rows)} keys found"])
    page = text_of("man/postern.5")
    for file in FILE.values():
        sample = text_of(f"etc/{file}.dist")
        mine = [(name, flags) for f, name, flags in rows if f == file]
        # What is only tolerated need not be offered.
        report.check(f"keys of {file} in the sample", (
            f"etc/{file}.dist lacks {name}" for name, flags in mine
            if "HONOUR" in flags and name not in ALIASES and
            not re.search(rf"\b{re.escape(name)}\b", sample)))
        report.check(f"keys of {file} in postern(5)", (
            f"man/postern.5 lacks {name}" for name, flags in mine
            if not re.search(rf"\b{re.escape(name)}\b", page)))
        known = {name for name, _ in mine}
        both = {"imapd": "imapd-ssl", "imapd-ssl": "imapd",
                "pop3d": "pop3d-ssl", "pop3d-ssl": "pop3d"}.get(file)
        known |= {name for f, name, _ in rows if f == both}
        report.check(f"sections of {file} are keys", (
            f"etc/{file}.dist: ##NAME: {name} is no key"
            for name in re.findall(r"^##NAME:\s*(\w+)", sample, re.M)
            if name not in known and name != "MARKER"))
    report.end()


if __name__ == "__main__":
    main()
