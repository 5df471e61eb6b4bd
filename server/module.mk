include server/ipc/module.mk
include server/conf/module.mk
include server/net/module.mk
include server/main.mk
