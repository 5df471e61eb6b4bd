#include "protocols/mime/charset_name.h"

#include "base/ascii.h"

/*
 * What iconv(3) calls a charset, and what mail calls it, as simplify() leaves
 * that.  Some are read as a larger one that has all of their characters, as
 * mail programs do: senders name ISO-8859-1 and mean windows-1252.
 */
/* clang-format off */
static const struct {
	const char *iconv;
	struct slice mail;
} charsets[MIME_CHARSETS] = {
	{ "ISO-8859-2", SLICE_INIT("iso88592 latin2 isolatin2") },
	{ "ISO-8859-3", SLICE_INIT("iso88593 latin3 isolatin3") },
	{ "ISO-8859-4", SLICE_INIT("iso88594 latin4 isolatin4") },
	{ "ISO-8859-5", SLICE_INIT("iso88595 isolatincyrillic") },
	{ "ISO-8859-6",
	    SLICE_INIT("iso88596 iso88596e iso88596i isolatinarabic") },
	{ "ISO-8859-7", SLICE_INIT("iso88597 isolatingreek") },
	{ "ISO-8859-8",
	    SLICE_INIT("iso88598 iso88598e iso88598i isolatinhebrew") },
	{ "ISO-8859-10", SLICE_INIT("iso885910 latin6 isolatin6") },
	{ "ISO-8859-13", SLICE_INIT("iso885913 latin7") },
	{ "ISO-8859-14", SLICE_INIT("iso885914 latin8") },
	{ "ISO-8859-15", SLICE_INIT("iso885915 latin9") },
	{ "ISO-8859-16", SLICE_INIT("iso885916 latin10") },
	{ "CP1250", SLICE_INIT("windows1250 cp1250 win1250") },
	{ "CP1251", SLICE_INIT("windows1251 cp1251 win1251") },
	{ "CP1252",
	    SLICE_INIT("windows1252 cp1252 win1252 iso88591 latin1 isolatin1") },
	{ "CP1253", SLICE_INIT("windows1253 cp1253 win1253") },
	{ "CP1254",
	    SLICE_INIT("windows1254 cp1254 win1254 iso88599 latin5 isolatin5") },
	{ "CP1255", SLICE_INIT("windows1255 cp1255 win1255") },
	{ "CP1256", SLICE_INIT("windows1256 cp1256 win1256") },
	{ "CP1257", SLICE_INIT("windows1257 cp1257 win1257") },
	{ "CP1258", SLICE_INIT("windows1258 cp1258 win1258") },
	{ "CP874", SLICE_INIT("windows874 cp874 ibm874 iso885911 tis620") },
	{ "CP437", SLICE_INIT("cp437 ibm437") },
	{ "CP737", SLICE_INIT("cp737 ibm737") },
	{ "CP775", SLICE_INIT("cp775 ibm775") },
	{ "CP850", SLICE_INIT("cp850 ibm850") },
	{ "CP852", SLICE_INIT("cp852 ibm852") },
	{ "CP855", SLICE_INIT("cp855 ibm855") },
	{ "CP857", SLICE_INIT("cp857 ibm857") },
	{ "CP858", SLICE_INIT("cp858 ibm858") },
	{ "CP860", SLICE_INIT("cp860 ibm860") },
	{ "CP861", SLICE_INIT("cp861 ibm861") },
	{ "CP862", SLICE_INIT("cp862 ibm862") },
	{ "CP863", SLICE_INIT("cp863 ibm863") },
	{ "CP864", SLICE_INIT("cp864 ibm864") },
	{ "CP865", SLICE_INIT("cp865 ibm865") },
	{ "CP866", SLICE_INIT("cp866 ibm866") },
	{ "CP869", SLICE_INIT("cp869 ibm869") },
	{ "CP932",
	    SLICE_INIT("cp932 ms932 windows31j sjis shiftjis mskanji") },
	{ "CP936", SLICE_INIT("cp936 ms936 windows936") },
	{ "CP949",
	    SLICE_INIT("cp949 ms949 windows949 uhc ksc56011987 ksc5601 euckr") },
	{ "CP950", SLICE_INIT("cp950 windows950 ms950") },
	{ "KOI8-R", SLICE_INIT("koi8r koi8") },
	{ "KOI8-U", SLICE_INIT("koi8u") },
	{ "KOI8-RU", SLICE_INIT("koi8ru") },
	{ "KOI8-T", SLICE_INIT("koi8t") },
	{ "MACINTOSH", SLICE_INIT("macintosh mac macroman") },
	{ "MAC-CYRILLIC", SLICE_INIT("maccyrillic") },
	{ "MAC-CENTRALEUROPE", SLICE_INIT("macce maccentraleurope") },
	{ "MAC-UK", SLICE_INIT("macuk macukraine macukrainian") },
	{ "BIG5", SLICE_INIT("big5 cnbig5 xbig5") },
	{ "BIG5-HKSCS", SLICE_INIT("big5hkscs") },
	{ "GB18030", SLICE_INIT("gb2312 gbk gb18030 gb23121980 cngb euccn") },
	{ "EUC-TW", SLICE_INIT("euctw") },
	{ "EUC-JP-MS", SLICE_INIT("eucjpms eucjp eucpkdfmtjapanese") },
	{ "ISO-2022-JP", SLICE_INIT("iso2022jp") },
	{ "ISO-2022-JP-2", SLICE_INIT("iso2022jp2") },
	{ "ISO-2022-JP-3", SLICE_INIT("iso2022jp3") },
	{ "ISO-2022-KR", SLICE_INIT("iso2022kr") },
	{ "ISO-2022-CN", SLICE_INIT("iso2022cn") },
	{ "ISO-2022-CN-EXT", SLICE_INIT("iso2022cnext") },
	{ "JOHAB", SLICE_INIT("johab") },
	{ "UTF-7", SLICE_INIT("utf7 unicode11utf7") },
	{ "UTF-16", SLICE_INIT("utf16") },
	{ "UTF-16LE", SLICE_INIT("utf16le") },
	{ "UTF-16BE", SLICE_INIT("utf16be") },
	{ "UTF-32", SLICE_INIT("utf32") },
	{ "UTF-32LE", SLICE_INIT("utf32le") },
	{ "UTF-32BE", SLICE_INIT("utf32be") },
	{ "UCS-2", SLICE_INIT("ucs2") },
	{ "VISCII", SLICE_INIT("viscii") },
	{ "TCVN", SLICE_INIT("tcvn tcvn5712 tcvn57121") },
	{ "ARMSCII-8", SLICE_INIT("armscii8") },
	{ "GEORGIAN-PS", SLICE_INIT("georgianps") },
	{ "GEORGIAN-ACADEMY", SLICE_INIT("georgianacademy") },
	{ "PT154", SLICE_INIT("pt154") },
	{ "RK1048", SLICE_INIT("rk1048") },
	{ "HP-ROMAN8", SLICE_INIT("hproman8") },
};
/* clang-format on */

static const struct slice utf8 =
    SLICE_INIT("utf8 usascii ascii ansix341968 iso646us 646");

enum { NAME_MAX_LEN = 60 };

/*
 * Only the letters and digits, as small letters, without "x-" or IANA's "cs"
 * before and ":1987" behind: mail writes one name in many ways.  What has other
 * bytes than those of registered names (RFC 2978 2.3) is none.
 */
static struct slice
simplify(struct slice name, uint8_t *room)
{
	static const struct slice marks = SLICE_INIT("-_.:+()");
	size_t n = 0;

	if (name.n > NAME_MAX_LEN)
		return slice_of(NULL, 0);
	if (slice_istarts(name, SLICE("x-")) ||
	    slice_istarts(name, SLICE("cs")))
		name = slice_skip(name, 2);
	for (size_t i = 0; i < name.n; i++) {
		if (ascii_is_alnum(name.p[i]))
			room[n++] = ascii_lower(name.p[i]);
		else if (!slice_has(marks, name.p[i]))
			return slice_of(NULL, 0);
		else if (name.p[i] == ':')
			break;
	}
	return slice_of(room, n);
}

/* Whether name is one of the words. */
static bool
is_among(struct slice words, struct slice name)
{
	struct slice word;

	while (slice_split(&words, ' ', &word))
		if (slice_eq(word, name))
			return true;
	return false;
}

enum mime_charset_kind
mime_charset_find(struct slice name, unsigned *row)
{
	uint8_t room[NAME_MAX_LEN];
	struct slice simple;

	if (name.n == 0)
		return MIME_CHARSET_UTF8;
	simple = simplify(name, room);
	if (simple.n == 0)
		return MIME_CHARSET_UNKNOWN;
	if (is_among(utf8, simple))
		return MIME_CHARSET_UTF8;
	for (unsigned k = 0; k < MIME_CHARSETS; k++) {
		if (is_among(charsets[k].mail, simple)) {
			*row = k;
			return MIME_CHARSET_OTHER;
		}
	}
	return MIME_CHARSET_UNKNOWN;
}

const char *
mime_charset_iconv(unsigned row)
{
	assert(row < MIME_CHARSETS);
	return charsets[row].iconv;
}

size_t
mime_charset_unit(unsigned row)
{
	struct slice name = slice_str(mime_charset_iconv(row));

	if (slice_starts(name, SLICE("UTF-32")))
		return 4;
	return slice_starts(name, SLICE("UTF-16")) ||
		slice_starts(name, SLICE("UCS-2"))
	    ? 2
	    : 1;
}
