/*
 * fuzz_mime: a message through parser, structure, envelope, sections and
 * wire form.  The first byte chooses where the input is cut in two and which
 * limits hold; the result must not depend on the cut.  The table of parts is
 * kept and read again; and the input is read as what was kept, too.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "protocols/imap/bodystructure.h"
#include "protocols/imap/envelope.h"
#include "protocols/mime/header.h"
#include "protocols/mime/parser.h"
#include "protocols/mime/section.h"
#include "protocols/mime/table.h"
#include "protocols/mime/text.h"
#include "protocols/mime/wire.h"
#include "tests/support/mime_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool ok)
{
	if (!ok)
		abort();
}

static void
check_written(const struct mime_message *m, struct buf *out)
{
	for (int extended = 0; extended < 2; extended++) {
		buf_reset(out);
		imap_bodystructure_put(out, m, extended != 0);
		require(buf_ok(out));
		mime_check_list(buf_slice(out));
	}
	for (uint32_t i = 0; i < m->n_parts; i++) {
		buf_reset(out);
		imap_envelope_put(out, m, i);
		require(buf_ok(out));
		mime_check_list(buf_slice(out));
	}
}

/* The wire form of a stretch has the announced length, whole and in part. */
static void
check_wire(const struct mime_span *span, const struct mime_source *src,
    struct buf *out)
{
	struct mime_wire w;
	uint64_t from = span->wire / 2;
	int result;

	buf_reset(out);
	mime_wire_init(&w, src, span, from, UINT64_MAX);
	while ((result = mime_wire_step(&w, out, 7)) == MIME_WIRE_MORE)
		;
	require(result == MIME_WIRE_END);
	require(buf_len(out) == span->wire - from);
}

/* Everything a part number can name lies inside of the message. */
static void
check_sections(const struct mime_message *m, struct slice in, struct buf *out)
{
	struct mime_source src = mime_source_bytes(in);
	struct mime_span span;

	for (uint32_t i = 0; i < 64; i++) {
		uint32_t path[] = { i & 3, i >> 2 & 3, i >> 4 & 3 };
		size_t n = i == 0 ? 0 : 1 + i % 3;
		for (int what = 0; what <= MIME_SECTION_MIME; what++) {
			if (!mime_section_span(
				m, path, n, (enum mime_section)what, &span))
				continue;
			require(span.off + span.len <= in.n);
			check_wire(&span, &src, out);
		}
	}
}

static void
check_text(const struct mime_message *m, struct slice in, struct buf *out)
{
	struct buf charset;

	buf_init(&charset, in.n + 1);
	for (uint32_t i = 0; i < m->n_parts; i++) {
		const struct mime_part *p = &m->parts[i];
		struct mime_text t;
		if (p->kind != MIME_LEAF)
			continue;
		buf_reset(&charset);
		buf_reset(out);
		mime_part_charset(m, i, &charset);
		(void)mime_text_init(
		    &t, (enum mime_encoding)p->encoding, buf_slice(&charset));
		mime_text_feed(&t,
		    slice_first(slice_skip(in, (size_t)p->body.off),
			(size_t)p->body.len),
		    out);
		mime_text_finish(&t, out);
		mime_text_fini(&t);
	}
	buf_fini(&charset);
}

static void
same_span(const struct mime_span *a, const struct mime_span *b)
{
	require(a->off == b->off && a->len == b->len && a->wire == b->wire);
}

/* A table is the same after it was kept. */
static void
keep_and_read(const struct mime_message *m)
{
	struct mime_message back;
	struct buf kept;

	buf_init(&kept, 64 << 20);
	mime_table_put(m, 7, &kept);
	mime_message_init(&back);
	require(!mime_table_get(buf_slice(&kept), 8, m->all.len, &back));
	require(!mime_table_get(buf_slice(&kept), 7, m->all.len + 1, &back));
	require(mime_table_get(buf_slice(&kept), 7, m->all.len, &back));
	require(back.n_parts == m->n_parts);
	same_span(&back.all, &m->all);
	for (uint32_t i = 0; i < m->n_parts; i++) {
		const struct mime_part *a = &m->parts[i], *b = &back.parts[i];

		require(a->parent == b->parent && a->first == b->first &&
		    a->next == b->next && a->n_children == b->n_children &&
		    a->depth == b->depth && a->kind == b->kind &&
		    a->encoding == b->encoding && a->counted == b->counted &&
		    a->decoded == b->decoded && a->has_nul == b->has_nul);
		same_span(&a->header, &b->header);
		same_span(&a->body, &b->body);
	}
	mime_message_fini(&back);
	buf_fini(&kept);
}

/* Any bytes as parts of a file of 100 bytes. */
static void
check_kept(struct slice in)
{
	static const uint8_t front[] = { 2, 7, 0, 0, 0, 0, 0, 0, 0 };
	struct mime_message m;
	struct buf kept;

	buf_init(&kept, in.n + sizeof(front) + 3);
	buf_put(&kept, slice_of(front, sizeof(front)));
	buf_put(&kept, slice_first(in, 1)); /* how many */
	buf_putc(&kept, 100);
	buf_putc(&kept, 0);
	buf_put(&kept, slice_skip(in, 1));
	mime_message_init(&m);
	if (mime_table_get(buf_slice(&kept), 7, 100, &m)) {
		for (uint32_t i = 0; i < m.n_parts; i++) {
			const struct mime_part *p = &m.parts[i];

			require(p->header.off + p->header.len == p->body.off);
			require(p->body.off + p->body.len <= 100);
			require(p->parent == MIME_NONE || p->parent < i);
			require(p->decoded <= p->body.wire);
		}
		keep_and_read(&m);
	}
	mime_message_fini(&m);
	buf_fini(&kept);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mime_options opt = mime_options_default;
	struct mime_message whole, halves;
	struct mime_parser p;
	struct slice in;
	struct buf out;
	size_t cut;

	if (size == 0)
		return 0;
	in = slice_of(data + 1, size - 1);
	cut = in.n * (data[0] & 15) / 15;
	if ((data[0] & 16) != 0)
		opt = (struct mime_options){ 3, 7, 40, 200, false };
	mime_message_init(&whole);
	mime_message_init(&halves);
	mime_parse(&whole, in, &opt);
	mime_parser_init(&p, &halves, &opt);
	mime_parser_feed(&p, slice_first(in, cut));
	mime_parser_feed(&p, slice_skip(in, cut));
	mime_parser_finish(&p);
	mime_check_table(&whole, in);
	mime_check_equal(&whole, &halves);
	require(whole.n_parts <= opt.max_parts);
	buf_init(&out, 64 << 20);
	check_written(&whole, &out);
	check_sections(&whole, in, &out);
	check_text(&whole, in, &out);
	keep_and_read(&whole);
	check_kept(in);
	buf_fini(&out);
	mime_message_fini(&whole);
	mime_message_fini(&halves);
	return 0;
}
