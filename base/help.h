/*
 * help: the answer of a program to --help.
 *
 * Layer:  base.
 */
#ifndef BASE_HELP_H
#define BASE_HELP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/*
 * Whether --help is the only argument: then the text was printed on standard
 * output, and the program is to end with 0.  Courier's programs know no such
 * option, and make another use of the word, if any.
 */
static inline bool
help_asked(int argc, char *const argv[], const char *text)
{
	if (argc != 2 || strcmp(argv[1], "--help") != 0)
		return false;
	(void)fputs(text, stdout);
	return true;
}

#endif
