/*
 * transcript: conversations in text files as tests; tests/transcripts/README.md
 * has the form.
 *
 * Layer:  tests, uses base.
 * Memory: the engine owns what it has read; a driver's functions get borrowed
 *         bytes.
 *
 * A program is the engine and a driver, which has the fixture and moves the
 * bytes:
 *
 *	int main(int argc, char **argv)
 *	{
 *		return transcript_main(argc, argv, &driver);
 *	}
 */
#ifndef TESTS_SUPPORT_TRANSCRIPT_H
#define TESTS_SUPPORT_TRANSCRIPT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

enum { TRANSCRIPT_CONNS = 10 }; /* connections are 1 … 9 */

struct transcript_driver {
	/* Directories below tests/transcripts to run without arguments; ends
	 * with NULL. */
	const char *const *directories;
	/* A file begins; path tells which one. */
	void (*begin)(const char *path);
	/* "word: value" of the fixture; false: not known. */
	bool (*fixture)(struct slice word, struct slice value);
	/* The message named by a "message:" line, complete. */
	void (*message)(struct slice path, struct slice bytes);
	/* Open the connection, and let it do what it does unasked. */
	void (*open)(int conn);
	/* The client's bytes; everything that follows from them is done when
	 * it returns. */
	void (*send)(int conn, struct slice bytes);
	/* "C! words"; false: not known, or it can't be done. */
	bool (*act)(int conn, struct slice words);
	/* What the server has said and the engine not yet taken. */
	struct buf *(*output)(int conn);
	/* Whether "S! word" holds now; false: it doesn't. */
	bool (*state)(int conn, struct slice word);
	/* The file is done, or failed: release everything. */
	void (*end)(void);
};

/* Run the files or directories of argv; the program's exit status. */
int transcript_main(
    int argc, char **argv, const struct transcript_driver *driver);

#endif
