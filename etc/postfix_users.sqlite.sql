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
