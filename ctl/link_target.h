/*
 * link_target: whether a Maildir can be shared by a line of shared-maildirs.
 *
 * Layer:  ctl, uses base.
 */
#ifndef CTL_LINK_TARGET_H
#define CTL_LINK_TARGET_H

/*
 * Why posternd leaves out the Maildir at path, an absolute one that is there,
 * when the user of the Maildir visitor has a line with it: a fixed text, or
 * NULL if it doesn't.
 */
const char *link_target_error(const char *path, const char *visitor);

#endif
