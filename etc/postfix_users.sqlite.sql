-- The user table for authsqlite: the columns that authmysqlrc and
-- authsqliterc name, in a file of its own.
--
--   sqlite3 users.sqlite < postfix_users.sqlite.sql

CREATE TABLE IF NOT EXISTS postfix_users (
  id      INTEGER PRIMARY KEY,
  email   TEXT NOT NULL UNIQUE COLLATE NOCASE, -- login name and address
  clear   TEXT NOT NULL DEFAULT '',
  crypt   TEXT NOT NULL DEFAULT '',
  name    TEXT NOT NULL DEFAULT '',
  uid     INTEGER NOT NULL DEFAULT 65534,
  gid     INTEGER NOT NULL DEFAULT 65534,
  homedir TEXT NOT NULL DEFAULT '/home/vmail',
  maildir TEXT NOT NULL DEFAULT '',            -- example.com/joe/, with the /
  quota   TEXT NOT NULL DEFAULT '',            -- 10000000S,1000C
  access  TEXT NOT NULL DEFAULT 'Y' CHECK (access IN ('Y', 'N')),
  postfix TEXT NOT NULL DEFAULT 'Y' CHECK (postfix IN ('Y', 'N'))
);

-- Passwords for single programs: SQLITE_APP_PASSWORD_TABLE in authsqliterc.
CREATE TABLE IF NOT EXISTS postfix_app_passwords (
  id         INTEGER PRIMARY KEY,
  email      TEXT NOT NULL COLLATE NOCASE,     -- as in postfix_users
  label      TEXT NOT NULL,                    -- "phone"; shown in the log
  hash       TEXT NOT NULL,                    -- {SHA512}..., as crypt
  scope      TEXT NOT NULL DEFAULT '',         -- imap,pop3,smtp; '': all
  networks   TEXT NOT NULL DEFAULT '',         -- 192.0.2.0/24 ...; '': all
  expires    TEXT,                             -- UTC, 2030-12-31 23:59:59
  first_used TEXT,
  last_used  TEXT,                             -- to the minute
  UNIQUE (email, label)
);
