/*
 * step: what a resumable piece of work says when it returns.
 *
 * Layer:  base.
 * Everything that may take long (a scan, a FETCH, a COPY) is a function that
 * does about 5 ms of work or 64 KiB of output and returns one of these; it is
 * called again when the thing it waits for is there.
 */
#ifndef BASE_STEP_H
#define BASE_STEP_H

#include <stdint.h>

enum step {
	STEP_NEXT,	  /* go on with the next step of the same work */
	STEP_WAIT_INPUT,  /* needs bytes of the client */
	STEP_WAIT_OUTPUT, /* its output must drain first */
	STEP_WAIT_PEER,	  /* another process or a timer will wake it */
	STEP_WAIT_SYNC,	  /* a sync thread has it, and will wake it */
	STEP_YIELD,	  /* its slice is used up: call it again next turn */
	STEP_DONE,	  /* finished; the result stands in its struct */
};

enum {
	STEP_SLICE_OUTPUT = 64 * 1024,
	STEP_OUTPUT_HIGH = 128 * 1024,
};

/*
 * Somebody to be called when waiting work may go on.  fn must only note the
 * fact (it may be called from inside the work itself) and be cheap.
 */
struct waker {
	void (*fn)(void *arg);
	void *arg;
};

static inline void
waker_call(struct waker w)
{
	if (w.fn != 0)
		w.fn(w.arg);
}

#endif
