include protocols/mime/module.mk
include protocols/imap/module.mk
include protocols/pop3/module.mk
