# What an installation gets beside the programs: control scripts, samples of
# the configuration, certificate tools.

RC_TOOLS = etc/imapd.rc etc/imapd-ssl.rc etc/pop3d.rc etc/pop3d-ssl.rc
CERT_TOOLS = etc/mkimapdcert etc/mkpop3dcert etc/mkdhparams
USERDB_TOOLS = etc/userdb etc/makeuserdb
SERVER_CONFIG = imapd imapd-ssl pop3d pop3d-ssl postern
AUTH_CONFIG = authdaemonrc authmysqlrc authsqliterc

# Not with libexec_SCRIPTS: config.status would call them all etc/….
rc_subst = sed \
	-e "s|@SERVICE@|$$service|g" -e "s|@TITLE@|$$title|g" \
	-e "s|@FILES@|$$files|g" \
	-e 's|@SYSCONFDIR@|$(POSTERN_SYSCONFDIR)|g' \
	-e 's|@PKGCONFDIR@|$(POSTERN_PKGCONFDIR)|g' \
	-e 's|@SBINDIR@|$(POSTERN_SBINDIR)|g' \
	-e 's|@PIDDIR@|$(POSTERN_PIDDIR)|g' \
	-e 's|@RUNDIR@|$(POSTERN_RUNDIR)|g' \
	-e 's|@AUTHDAEMONVAR@|$(POSTERN_AUTHDAEMONVAR)|g' \
	-e 's|@MAILUSER@|$(POSTERN_MAILUSER)|g' \
	-e 's|@MAILGROUP@|$(POSTERN_MAILGROUP)|g'

$(RC_TOOLS): etc/rc.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc; service=`basename $@ .rc`; \
	case $$service in \
	imapd) title=IMAP ;; imapd-ssl) title='IMAP over TLS' ;; \
	pop3d) title=POP3 ;; pop3d-ssl) title='POP3 over TLS' ;; \
	esac; \
	case $$service in \
	imapd*) files='imapd imapd-ssl' ;; *) files='pop3d pop3d-ssl' ;; \
	esac; \
	$(rc_subst) $(srcdir)/etc/rc.in >$@.new && chmod 755 $@.new && \
	mv $@.new $@

etc/authdaemond: etc/authdaemond.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc; service=authdaemond; title=; files=; \
	$(rc_subst) $(srcdir)/etc/authdaemond.in >$@.new && \
	chmod 755 $@.new && mv $@.new $@

etc/makeimapaccess: etc/makeimapaccess.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc; service=; title=; files=; \
	$(rc_subst) $(srcdir)/etc/makeimapaccess.in >$@.new && \
	chmod 755 $@.new && mv $@.new $@

etc/sharedindexinstall: etc/sharedindexinstall.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc; service=; title=; files=; \
	$(rc_subst) $(srcdir)/etc/sharedindexinstall.in >$@.new && \
	chmod 755 $@.new && mv $@.new $@

SYSTEMD_UNITS = etc/systemd/postern.service \
	etc/systemd/postern-authdaemond.service
SYSTEMD_FILES = $(SYSTEMD_UNITS) etc/systemd/postern.tmpfiles \
	etc/systemd/postern.sysusers

$(SYSTEMD_FILES): Makefile
	$(AM_V_GEN)$(MKDIR_P) etc/systemd; service=; title=; files=; \
	$(rc_subst) $(srcdir)/$@.in >$@.new && mv $@.new $@

# One for each service of posternd.
SYSTEMD_SERVICES = etc/systemd/postern-imapd.service \
	etc/systemd/postern-imapd-ssl.service \
	etc/systemd/postern-pop3d.service \
	etc/systemd/postern-pop3d-ssl.service
$(SYSTEMD_SERVICES): etc/systemd/postern-service.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc/systemd; files=; \
	service=`basename $@ .service | sed 's/postern-//'`; \
	case $$service in \
	imapd) title=IMAP ;; imapd-ssl) title='IMAP over TLS' ;; \
	pop3d) title=POP3 ;; pop3d-ssl) title='POP3 over TLS' ;; \
	esac; \
	$(rc_subst) $(srcdir)/etc/systemd/postern-service.service.in >$@.new && \
	mv $@.new $@

# The key stays with root unless configure was told whose it is.
etc/mkimapdcert etc/mkpop3dcert: etc/mkcert.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc; name=`basename $@`; \
	cert=`echo $$name | sed 's/^mk//; s/cert$$//'`; \
	sed -e "s|@NAME@|$$name|g" -e "s|@CERT@|$$cert|g" \
	-e 's|@SYSCONFDIR@|$(POSTERN_SYSCONFDIR)|g' \
	-e 's|@CERTSDIR@|$(POSTERN_CERTSDIR)|g' \
	-e 's|@OWNER@|$(POSTERN_CERT_OWNER)|g' \
	$(srcdir)/etc/mkcert.in >$@.new && chmod 755 $@.new && mv $@.new $@

etc/mkdhparams: etc/mkdhparams.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc; \
	sed -e 's|@CERTSDIR@|$(POSTERN_CERTSDIR)|g' \
	-e 's|@OWNER@|$(POSTERN_CERT_OWNER)|g' \
	$(srcdir)/etc/mkdhparams.in >$@.new && chmod 755 $@.new && mv $@.new $@

$(USERDB_TOOLS): Makefile
	$(AM_V_GEN)$(MKDIR_P) etc; service=; title=; files=; \
	$(rc_subst) $(srcdir)/$@.in >$@.new && chmod 755 $@.new && \
	mv $@.new $@
etc/userdb: etc/userdb.in
etc/makeuserdb: etc/makeuserdb.in

noinst_SCRIPTS += $(RC_TOOLS) etc/authdaemond $(CERT_TOOLS) $(USERDB_TOOLS) \
	etc/makeimapaccess etc/sharedindexinstall $(SYSTEMD_FILES) $(SYSTEMD_SERVICES)
CLEANFILES += etc/sharedindexinstall $(RC_TOOLS) etc/authdaemond $(CERT_TOOLS) $(USERDB_TOOLS) etc/makeimapaccess \
	$(SYSTEMD_FILES) $(SYSTEMD_SERVICES)
EXTRA_DIST += etc/rc.in etc/authdaemond.in etc/mkcert.in etc/mkdhparams.in \
	etc/userdb.in etc/makeuserdb.in etc/pw2userdb \
	etc/sharedindexinstall.in etc/sharedindexsplit \
	etc/makeimapaccess.in etc/systemd/postern.service.in \
	etc/systemd/postern-authdaemond.service.in \
	etc/systemd/postern-service.service.in \
	etc/systemd/postern.tmpfiles.in etc/systemd/postern.sysusers.in \
	etc/install-configure.sh etc/install-migrate.sh etc/imapd.cnf etc/pop3d.cnf \
	etc/postfix_users.sql etc/postfix_users.sqlite.sql \
	etc/imapd.dist etc/imapd-ssl.dist etc/pop3d.dist etc/pop3d-ssl.dist \
	etc/quotawarnmsg.example \
	etc/postern.dist etc/authdaemonrc.dist etc/authmysqlrc.dist \
	etc/authsqliterc.dist

# Paths in the samples are those of this build.
dist_subst = sed \
	-e 's|@PKGCONFDIR@|$(POSTERN_PKGCONFDIR)|g' \
	-e 's|@SYSCONFDIR@|$(POSTERN_SYSCONFDIR)|g' \
	-e 's|@CERTSDIR@|$(POSTERN_CERTSDIR)|g' \
	-e 's|@PIDDIR@|$(POSTERN_PIDDIR)|g' \
	-e 's|@RUNDIR@|$(POSTERN_RUNDIR)|g' \
	-e 's|@LOCALSTATEDIR@|$(POSTERN_LOCALSTATEDIR)|g' \
	-e 's|@AUTHDAEMONVAR@|$(POSTERN_AUTHDAEMONVAR)|g' \
	-e 's|@MAILUSER@|$(POSTERN_MAILUSER)|g'

install-exec-local: $(noinst_SCRIPTS)
	$(MKDIR_P) $(DESTDIR)$(libexecdir)/authlib
	for s in $(RC_TOOLS); do \
		$(INSTALL_SCRIPT) $$s $(DESTDIR)$(libexecdir)/`basename $$s \
		    .rc`$(POSTERN_RC_SUFFIX) || exit 1; \
	done
	$(INSTALL_SCRIPT) etc/authdaemond $(DESTDIR)$(libexecdir)/authlib/
	$(MKDIR_P) $(DESTDIR)$(sbindir)
	$(INSTALL_SCRIPT) etc/makeimapaccess $(USERDB_TOOLS) \
	    etc/sharedindexinstall $(srcdir)/etc/sharedindexsplit \
	    $(srcdir)/etc/pw2userdb $(DESTDIR)$(sbindir)/
	if test -z "$(POSTERN_RC_SUFFIX)"; then \
		for s in imapd imapd-ssl pop3d pop3d-ssl; do \
			$(LN_S) -f $(libexecdir)/$$s $(DESTDIR)$(sbindir)/$$s \
			    || exit 1; \
		done; \
	fi

# As Debian's courier-base does when it is installed, and before it goes.
install-exec-hook:
	if test -z "$(POSTERN_RC_SUFFIX)$(DESTDIR)" && \
	    command -v update-alternatives >/dev/null; then \
		update-alternatives --quiet --install $(bindir)/maildirmake \
		    maildirmake $(bindir)/maildirmake.courier 5 && \
		update-alternatives --quiet --install $(bindir)/deliverquota \
		    deliverquota $(bindir)/deliverquota.courier 10; \
	fi

uninstall-hook:
	if test -z "$(POSTERN_RC_SUFFIX)$(DESTDIR)" && \
	    command -v update-alternatives >/dev/null; then \
		update-alternatives --quiet --remove maildirmake \
		    $(bindir)/maildirmake.courier; \
		update-alternatives --quiet --remove deliverquota \
		    $(bindir)/deliverquota.courier; \
	fi
	-find $(DESTDIR)$(datadir)/postern $(DESTDIR)$(libexecdir)/postern \
	    -depth -type d -empty -delete

install-data-local: $(noinst_SCRIPTS)
	$(MKDIR_P) $(DESTDIR)$(POSTERN_SYSCONFDIR) \
	    $(DESTDIR)$(POSTERN_PKGCONFDIR) $(DESTDIR)$(datadir)/postern
	$(MKDIR_P) $(DESTDIR)$(POSTERN_CERTTOOLDIR) $(DESTDIR)$(sbindir)
	for s in $(CERT_TOOLS); do \
		$(INSTALL_SCRIPT) $$s $(DESTDIR)$(POSTERN_CERTTOOLDIR)/ && \
		$(LN_S) -f $(POSTERN_CERTTOOLDIR)/`basename $$s` \
		    $(DESTDIR)$(sbindir)/`basename $$s` || exit 1; \
	done
	$(MKDIR_P) $(DESTDIR)$(POSTERN_UNITDIR) \
	    $(DESTDIR)$(POSTERN_TMPFILESDIR) $(DESTDIR)$(POSTERN_SYSUSERSDIR)
	$(INSTALL_DATA) $(SYSTEMD_UNITS) $(SYSTEMD_SERVICES) \
	    $(DESTDIR)$(POSTERN_UNITDIR)/
	$(INSTALL_DATA) etc/systemd/postern.tmpfiles \
	    $(DESTDIR)$(POSTERN_TMPFILESDIR)/postern.conf
	$(INSTALL_DATA) etc/systemd/postern.sysusers \
	    $(DESTDIR)$(POSTERN_SYSUSERSDIR)/postern.conf
	$(INSTALL_SCRIPT) $(srcdir)/etc/install-configure.sh \
	    $(DESTDIR)$(datadir)/postern/install-configure
	for f in $(SERVER_CONFIG); do \
		$(dist_subst) $(srcdir)/etc/$$f.dist >etc/$$f.tmp && \
		$(INSTALL_DATA) etc/$$f.tmp \
		    $(DESTDIR)$(POSTERN_SYSCONFDIR)/$$f.dist || exit 1; \
		rm -f etc/$$f.tmp; \
	done
	for f in $(AUTH_CONFIG); do \
		$(dist_subst) $(srcdir)/etc/$$f.dist >etc/$$f.tmp && \
		$(INSTALL_DATA) etc/$$f.tmp \
		    $(DESTDIR)$(POSTERN_PKGCONFDIR)/$$f.dist || exit 1; \
		rm -f etc/$$f.tmp; \
	done
	for f in imapd.cnf pop3d.cnf; do \
		test -f $(DESTDIR)$(POSTERN_SYSCONFDIR)/$$f || \
		$(INSTALL_DATA) $(srcdir)/etc/$$f \
		    $(DESTDIR)$(POSTERN_SYSCONFDIR)/ || exit 1; \
	done
	$(INSTALL_DATA) $(srcdir)/etc/quotawarnmsg.example \
	    $(DESTDIR)$(POSTERN_SYSCONFDIR)/
	$(INSTALL_DATA) $(srcdir)/etc/postfix_users.sql \
	    $(srcdir)/etc/postfix_users.sqlite.sql \
	    $(DESTDIR)$(datadir)/postern/
	$(MKDIR_P) $(DESTDIR)$(POSTERN_AUTHDAEMONVAR) \
	    $(DESTDIR)$(POSTERN_LOCALSTATEDIR)/run
	-chmod 750 $(DESTDIR)$(POSTERN_AUTHDAEMONVAR)
	if test -z "$(DESTDIR)" && test "`id -u`" = 0; then \
		chown $(POSTERN_MAILUSER):$(POSTERN_MAILGROUP) \
		    $(POSTERN_AUTHDAEMONVAR); \
	fi

# Configuration and certificates that were edited are the admin's, and stay.
uninstall-local:
	for s in imapd imapd-ssl pop3d pop3d-ssl; do \
		rm -f $(DESTDIR)$(libexecdir)/$$s$(POSTERN_RC_SUFFIX); \
		test -n "$(POSTERN_RC_SUFFIX)" || \
		rm -f $(DESTDIR)$(sbindir)/$$s; \
	done
	rm -f $(DESTDIR)$(sbindir)/makeimapaccess \
	    $(DESTDIR)$(sbindir)/sharedindexinstall \
	    $(DESTDIR)$(sbindir)/sharedindexsplit \
	    $(DESTDIR)$(sbindir)/userdb $(DESTDIR)$(sbindir)/makeuserdb \
	    $(DESTDIR)$(sbindir)/pw2userdb \
	    $(DESTDIR)$(POSTERN_TMPFILESDIR)/postern.conf \
	    $(DESTDIR)$(POSTERN_SYSUSERSDIR)/postern.conf \
	    $(DESTDIR)$(datadir)/postern/install-configure
	for s in $(SYSTEMD_UNITS) $(SYSTEMD_SERVICES); do \
		rm -f $(DESTDIR)$(POSTERN_UNITDIR)/`basename $$s`; \
	done
	rm -f $(DESTDIR)$(libexecdir)/authlib/authdaemond
	for s in $(CERT_TOOLS); do \
		rm -f $(DESTDIR)$(POSTERN_CERTTOOLDIR)/`basename $$s` \
		    $(DESTDIR)$(sbindir)/`basename $$s`; \
	done
	for f in $(SERVER_CONFIG); do \
		rm -f $(DESTDIR)$(POSTERN_SYSCONFDIR)/$$f.dist; \
	done
	for f in $(AUTH_CONFIG); do \
		rm -f $(DESTDIR)$(POSTERN_PKGCONFDIR)/$$f.dist; \
	done
	for f in imapd.cnf pop3d.cnf; do \
		cmp -s $(srcdir)/etc/$$f \
		    $(DESTDIR)$(POSTERN_SYSCONFDIR)/$$f && \
		rm -f $(DESTDIR)$(POSTERN_SYSCONFDIR)/$$f || :; \
	done
	rm -f $(DESTDIR)$(POSTERN_SYSCONFDIR)/quotawarnmsg.example \
	    $(DESTDIR)$(datadir)/postern/postfix_users.sql \
	    $(DESTDIR)$(datadir)/postern/postfix_users.sqlite.sql

# The certificate tools carry the paths of the build: with DESTDIR there is
# no place where they could be run.
# SYSCONFTOOLFLAGS: options of the script, as -n or -f.
install-configure:
	$(SHELL) $(srcdir)/etc/install-configure.sh $(SYSCONFTOOLFLAGS) \
	    $(DESTDIR)$(POSTERN_SYSCONFDIR) "" 644 $(SERVER_CONFIG)
	$(SHELL) $(srcdir)/etc/install-configure.sh $(SYSCONFTOOLFLAGS) \
	    $(DESTDIR)$(POSTERN_PKGCONFDIR) "$(POSTERN_MAILGROUP)" 640 \
	    $(AUTH_CONFIG)
	case " $(SYSCONFTOOLFLAGS)" in *' -'*n*) exit 0 ;; esac; \
	if test -z "$(DESTDIR)"; then \
		$(POSTERN_CERTTOOLDIR)/mkimapdcert -q && \
		$(POSTERN_CERTTOOLDIR)/mkpop3dcert -q; \
	fi
	@id -u postern >/dev/null 2>&1 || { \
	echo "The processes that talk to strangers need a user of their own:"; \
	echo "  useradd --system --home-dir /nonexistent" \
	    "--shell /usr/sbin/nologin postern"; \
	echo "or another one that LOGIN_USER in postern names."; }
	@echo "Programs that ask authdaemond (Postfix, maildrop) must be in"
	@echo "group $(POSTERN_MAILGROUP), or $(POSTERN_AUTHDAEMONVAR) be of mode 755."

# A courier-authlib of another place, before install-configure. MIGRATE_ROOT:
# the directory in which the other system is mounted, / unless given.
install-migrate:
	$(SHELL) $(srcdir)/etc/install-migrate.sh $(INSTALLMIGRATEFLAGS) \
	    "$(DESTDIR)$(POSTERN_PKGCONFDIR)" "$(POSTERN_MAILGROUP)" \
	    "$(MIGRATE_ROOT)"

.PHONY: install-configure install-migrate
