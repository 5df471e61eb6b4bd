/*
 * calls_impl: what the calls of calls_libc.c ask and tell calls.c.
 *
 * Layer:  tests.
 */
#ifndef TESTS_CRASH_CALLS_IMPL_H
#define TESTS_CRASH_CALLS_IMPL_H

#include "tests/crash/calls.h"

/* 0: go on; SHORT_COUNT; else errno, which is set. */
int calls_gate(enum call c, const char *name);

/* --- names of the tree ---------------------------------------------------- */

struct calls_spot {
	int dir;
	const char *name; /* within dir; "" for the root itself */
	int node;	  /* -1: nothing there */
};

/* Where a path leads; false: out of the tree. */
bool calls_locate(int dirfd, const char *path, struct calls_spot *out);
int calls_new_node(void);
bool calls_node_is_dir(int node);
/* dir/name becomes node; -1: it goes. */
void calls_set_entry(const struct calls_spot *s, int node, bool is_dir);

/* --- descriptors ---------------------------------------------------------- */

/* Whether it is one of the tree. */
bool calls_has_fd(int fd);
void calls_fd_opened(int fd, int node, bool append);
void calls_fd_copied(int from, int to);
void calls_fd_closed(int fd);
bool calls_fd_appends(int fd);
/* A name that the file of a descriptor has. */
const char *calls_fd_name(int fd);
/* What was done to the file of a descriptor; p: the n bytes of a write. */
void calls_note_data(
    enum op_kind kind, int fd, const void *p, uint64_t n, uint64_t off);

/* --- what is made up ------------------------------------------------------ */

/* A file instead of the kernel's boot id, or NULL. */
const char *calls_boot_id(void);
const char *calls_keep(void);
/* When all files were made, in seconds; 0: as it is. */
int64_t calls_birth(void);
/* Whether readdir() passes over it. */
bool calls_hides(const char *name);

#endif
