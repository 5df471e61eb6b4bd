/*
 * parse: what every pull parser answers.
 *
 * Layer:  base.
 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

enum parse {
	PARSE_OK,      /* a token was taken; the cursor stands behind it */
	PARSE_MORE,    /* the input ends too early; the cursor is unmoved */
	PARSE_BAD,     /* the grammar forbids it */
	PARSE_LIMIT,   /* longer, deeper or more than the options allow */
	PARSE_LITERAL, /* a literal is announced: the session decides */
};

#endif
