/*
 * maildir_tree: a Maildir below a temporary directory, and what transcripts do
 * to its files.  Paths are those below the Maildir ("cur/NAME",
 * ".Sent/new/NAME").
 *
 * Layer:  tests, uses base.
 */
#ifndef TESTS_SUPPORT_MAILDIR_TREE_H
#define TESTS_SUPPORT_MAILDIR_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The temporary directory; the Maildir is Maildir in it. */
extern char *tree_root;

void tree_begin(void);
/* Remove all of it. */
void tree_end(void);
/* A path below the Maildir; the caller frees. */
char *tree_path(struct slice name);
/* A message, in a mailbox that is made if need be. */
void tree_message(struct slice path, struct slice bytes);
/* So many messages in INBOX, one as the other. */
void tree_messages(uint32_t n);
/* A small message, as a delivery agent does it. */
bool tree_deliver(struct slice path);
/* "OCTAL PATH" */
bool tree_set_mode(struct slice value);
/* "FROM TO" */
bool tree_rename(struct slice names);
bool tree_remove(struct slice name);
/* End the program, with errno's words. */
void tree_die(const char *what, const char *name);

#endif
