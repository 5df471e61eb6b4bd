noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	base/arena.c base/arena.h \
	base/ascii.h \
	base/base64.c base/base64.h \
	base/buf.c base/buf.h \
	base/clock.c base/clock.h \
	base/defs.h \
	base/err.c base/err.h \
	base/fsx.c base/fsx.h \
	base/log.c base/log.h \
	base/log_out.c base/log_out.h \
	base/mem.c base/mem.h \
	base/num.c base/num.h \
	base/parse.h \
	base/secret.c base/secret.h \
	base/slice.c base/slice.h \
	base/step.h \
	base/syncer.h \
	base/utf7.c base/utf7.h
