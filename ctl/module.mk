sbin_PROGRAMS += posternctl
posternctl_SOURCES = ctl/posternctl.c \
	ctl/accounts.c ctl/accounts.h \
	ctl/as_user.c ctl/as_user.h \
	ctl/export.c ctl/export.h \
	ctl/maintain.c ctl/maintain.h
posternctl_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
posternctl_LDADD = libmaildir.a libconf.a libipc.a libbase.a $(SQLITE_LIBS)

bin_PROGRAMS += maildirmake deliverquota maildirkw maildiracl
maildiracl_SOURCES = ctl/maildiracl.c ctl/owner.c ctl/owner.h
maildiracl_LDADD = libmaildir.a libbase.a $(SQLITE_LIBS)
maildirkw_SOURCES = ctl/maildirkw.c ctl/owner.c ctl/owner.h \
	ctl/present_keywords.c ctl/present_keywords.h
maildirkw_LDADD = libmaildir.a libbase.a $(SQLITE_LIBS)
maildirmake_SOURCES = ctl/maildirmake.c ctl/what_counts.c ctl/what_counts.h
maildirmake_LDADD = libmaildir.a libconf.a libbase.a
deliverquota_SOURCES = ctl/deliverquota.c ctl/owner.c ctl/owner.h \
	ctl/what_counts.c ctl/what_counts.h
deliverquota_LDADD = libmaildir.a libconf.a libbase.a

# Courier's tools for authdaemond
sbin_PROGRAMS += authtest authenumerate authpasswd
authtest_SOURCES = ctl/authtest.c ctl/authd.c ctl/authd.h
authtest_LDADD = libconf.a libbase.a
authenumerate_SOURCES = ctl/authenumerate.c ctl/authd.c ctl/authd.h
authenumerate_LDADD = libconf.a libbase.a
authpasswd_SOURCES = ctl/authpasswd.c \
	ctl/read_password.c ctl/read_password.h
authpasswd_LDADD = libauth.a libbase.a $(CRYPT_LIBS) $(ARGON2_LIBS) \
	$(OPENSSL_LIBS)

# Courier's tools for userdb; the others are scripts of etc/.
sbin_PROGRAMS += userdbpw
userdbpw_SOURCES = ctl/userdbpw.c ctl/read_password.c ctl/read_password.h
userdbpw_LDADD = $(authpasswd_LDADD)

# For scripts that call Courier's of these names.
sbin_PROGRAMS += courierlogger couriertcpd
courierlogger_SOURCES = ctl/courierlogger.c ctl/pid_lock.c ctl/pid_lock.h
courierlogger_LDADD = libbase.a
couriertcpd_SOURCES = ctl/couriertcpd.c ctl/pid_lock.c ctl/pid_lock.h
couriertcpd_LDADD = libbase.a
