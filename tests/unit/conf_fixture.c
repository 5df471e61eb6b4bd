#include "config.h"

#include "tests/unit/conf_fixture.h"

#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/conf/conf_key.h"

void
fixture_begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_conf.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	buf_init(&f->remarks, 1 << 20);
}

static void
remove_below(const char *dir)
{
	for (int i = 0; i < CONF_N_FILES; i++) {
		char *path =
		    mem_printf("%s/%s", dir, conf_file_name((enum conf_file)i));

		(void)unlink(path);
		free(path);
	}
	(void)rmdir(dir);
}

void
fixture_end(struct fixture *f)
{
	char *authlib = mem_printf("%s/authlib", f->dir);

	conf_free(&f->conf);
	buf_fini(&f->remarks);
	remove_below(authlib);
	remove_below(f->dir);
	free(authlib);
}

void
fixture_write(struct fixture *f, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", f->dir, name);
	FILE *file;

	if (strncmp(name, "authlib/", 8) == 0) {
		char *authlib = mem_printf("%s/authlib", f->dir);

		(void)mkdir(authlib, 0700);
		free(authlib);
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0600), 0);
	free(path);
}

char *
fixture_source(const char *path)
{
	const char *top = getenv("srcdir");
	char *full = mem_printf("%s/%s", top != NULL ? top : ".", path);
	FILE *file = fopen(full, "r");
	char *text = mem_zalloc(1, 1 << 16);

	if (file == NULL)
		fail_msg("%s: can't be read", full);
	assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
	(void)fclose(file);
	free(full);
	return text;
}

void
fixture_copy(struct fixture *f, const char *from, const char *name)
{
	char *path = mem_printf("tests/unit/data/conf/%s/%s", from, name);
	char *text = fixture_source(path);

	fixture_write(f, name, text);
	free(text);
	free(path);
}

static void
on_report(void *arg, int severity, const char *file, int line, const char *text)
{
	struct fixture *f = arg;
	const char *name = file;

	assert_non_null(file);
	if (strncmp(file, f->dir, strlen(f->dir)) == 0) {
		name = file + strlen(f->dir);
		name += *name == '/';
	}
	buf_putf(
	    &f->remarks, "%c %s:%d %s\n", "NWE"[severity], name, line, text);
}

bool
fixture_load(struct fixture *f, unsigned files)
{
	buf_reset(&f->remarks);
	conf_free(&f->conf);
	f->conf = conf_load(f->dir, files, on_report, f);
	return f->conf != NULL;
}

bool
fixture_said(struct fixture *f, const char *text)
{
	return strstr(buf_cstr(&f->remarks), text) != NULL;
}

bool
fixture_complained(struct fixture *f)
{
	const char *text = buf_cstr(&f->remarks);

	return strncmp(text, "E ", 2) == 0 || strncmp(text, "W ", 2) == 0 ||
	    strstr(text, "\nE ") != NULL || strstr(text, "\nW ") != NULL;
}
