# The sources of the login process, for posternd.
postern_login_sources = \
	server/auth_client.c server/auth_client.h \
	server/auth_line.c server/auth_line.h \
	server/certificates.c server/certificates.h \
	server/login.c server/login.h server/login_impl.h \
	server/login_auth.c server/login_conn.c server/login_greeting.c \
	server/login_io.c \
	server/login_log.c \
	server/login_proxy.c \
	server/login_setup.c \
	server/net/abort.h server/net/relay.c server/net/relay.h \
	server/net/tls.c server/net/tls.h \
	server/net/tls_pem.c server/net/tls_pem.h \
	server/sandbox.c server/sandbox.h
