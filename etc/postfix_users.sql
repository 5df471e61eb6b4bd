-- The tables that Postfix and authdaemond read, for MySQL or MariaDB.
--
--   mysql postfix < postfix_users.sql
--
-- Postern reads postfix_users alone; the others are Postfix's maps. A column
-- that you don't use may stay empty.

CREATE TABLE IF NOT EXISTS postfix_alias (
  id          INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  alias       VARCHAR(128) NOT NULL UNIQUE,   -- a local part
  destination TEXT NOT NULL                   -- addresses, |commands, /files
);

CREATE TABLE IF NOT EXISTS postfix_relocated (
  id          INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email       VARCHAR(255) NOT NULL UNIQUE,
  destination VARCHAR(255) NOT NULL           -- shown in the bounce
);

CREATE TABLE IF NOT EXISTS postfix_transport (
  id          INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  domain      VARCHAR(255) NOT NULL UNIQUE,
  destination VARCHAR(255) NOT NULL           -- virtual: or smtp:[host]
);

CREATE TABLE IF NOT EXISTS postfix_virtual (
  id          INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email       VARCHAR(255) NOT NULL UNIQUE,   -- user@domain or @domain
  destination TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS postfix_access (
  id     INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  source VARCHAR(255) NOT NULL,
  access VARCHAR(255) NOT NULL,               -- OK, REJECT text, 550 text
  type   ENUM('recipient','sender','client') NOT NULL,
  UNIQUE (source, type)
);

CREATE TABLE IF NOT EXISTS postfix_users (
  id      INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email   VARCHAR(255) NOT NULL UNIQUE,       -- login name and address
  clear   VARCHAR(255) NOT NULL DEFAULT '',
  crypt   VARCHAR(255) NOT NULL DEFAULT '',
  name    VARCHAR(255) NOT NULL DEFAULT '',
  uid     INT UNSIGNED NOT NULL DEFAULT 65534,
  gid     INT UNSIGNED NOT NULL DEFAULT 65534,
  homedir VARCHAR(255) NOT NULL DEFAULT '/home/vmail',
  maildir VARCHAR(255) NOT NULL DEFAULT '',   -- example.com/joe/, with the /
  quota   VARCHAR(255) NOT NULL DEFAULT '',   -- 10000000S,1000C
  access  ENUM('Y','N') NOT NULL DEFAULT 'Y', -- may read mail
  postfix ENUM('Y','N') NOT NULL DEFAULT 'Y'  -- may get mail
);

-- Passwords for single programs: MYSQL_APP_PASSWORD_TABLE in authmysqlrc.
-- authdaemond needs UPDATE on it to note the uses.
CREATE TABLE IF NOT EXISTS postfix_app_passwords (
  id         INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email      VARCHAR(255) NOT NULL,           -- as in postfix_users
  label      VARCHAR(64)  NOT NULL,           -- "phone"; shown in the log
  hash       VARCHAR(255) NOT NULL,           -- {SHA512}..., as crypt
  scope      VARCHAR(64)  NOT NULL DEFAULT '', -- imap,pop3,smtp; '': all
  networks   VARCHAR(255) NOT NULL DEFAULT '', -- 192.0.2.0/24 ...; '': all
  expires    DATETIME NULL,
  first_used DATETIME NULL,
  last_used  DATETIME NULL,                   -- to the minute
  UNIQUE (email, label)
);
