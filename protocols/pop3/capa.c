#include "protocols/pop3/capa.h"

void
pop3_capa_put(const struct pop3_capa *capa, struct buf *out)
{
	buf_puts(out, "+OK Capability list follows.\r\n");
	if (capa->sasl.n != 0) {
		buf_puts(out, "SASL ");
		buf_put(out, capa->sasl);
		buf_puts(out, "\r\n");
	}
	if (capa->stls)
		buf_puts(out, "STLS\r\n");
	buf_puts(out, "TOP\r\n");
	if (capa->user)
		buf_puts(out, "USER\r\n");
	buf_puts(out,
	    "PIPELINING\r\n"
	    "UIDL\r\n"
	    "UTF8 USER\r\n"
	    "RESP-CODES\r\n"
	    "AUTH-RESP-CODE\r\n"
	    "IMPLEMENTATION Postern\r\n"
	    ".\r\n");
}
