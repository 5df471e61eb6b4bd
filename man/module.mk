# the manual pages; the list of keys in postern(5) comes from keys.def, and
# the repository has it made, so that a build needs no python
dist_man_MANS += man/posternd.8 man/authdaemond.8 man/posternctl.8 man/imapd.8 man/courierpop3d.8 man/maildirmake.1 \
	man/deliverquota.8 man/maildirkw.1 man/maildiracl.1 \
	man/sharedindexinstall.8 man/sharedindexsplit.8 \
	man/courierlogger.1 man/couriertcpd.1 man/userdb.8 man/userdbpw.8 man/makeuserdb.8 man/pw2userdb.8 \
	man/mkimapdcert.8 man/mkpop3dcert.8 man/mkdhparams.8 \
	man/postern.5 man/authdaemonrc.5 man/authmysqlrc.5 man/authsqliterc.5 \
	man/authtest.1 man/authenumerate.1 man/authpasswd.1 \
	man/imapd.rc.8 man/imapd-ssl.rc.8 man/pop3d.rc.8 man/pop3d-ssl.rc.8 \
	man/makeimapaccess.8 man/imapaccess.5 \
	man/imapd.5 man/imapd-ssl.5 man/pop3d.5 man/pop3d-ssl.5
EXTRA_DIST += man/keys.py docs

man-keys:
	$(PYTHON3) $(srcdir)/man/keys.py $(srcdir)/man/postern.5 \
	    $(srcdir)/docs/configuration.md
	$(PYTHON3) $(srcdir)/docs/ipc.py

.PHONY: man-keys
