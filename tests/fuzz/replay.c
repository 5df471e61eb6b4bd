/*
 * replay: run a fuzz target over files instead of a fuzzer.
 *
 * Layer:  tests.  Linked with one fuzz_NAME.c unless configure was given
 *         --enable-fuzzing, which brings libFuzzer's main() instead.
 * Memory: one input at a time, in a heap block of exactly its size, so that
 *         a sanitizer sees the first byte read past its end.
 *
 * Arguments are files or directories (one level). Without any, the corpus of
 * the target is taken: $srcdir/tests/fuzz/corpus/NAME. Exit status 77, which
 * automake counts as skipped, when there is nothing to run.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	INPUT_MAX = 16 * 1024 * 1024,
	PATH_MAX_LEN = 4096,
};

static unsigned long n_inputs;

/* Ends the program on any error: a corpus that can't be read is a bug. */
static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
run_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;

	if (f == NULL)
		die(path);
	if (size > INPUT_MAX)
		size = INPUT_MAX;
	data = malloc(size == 0 ? 1 : size);
	if (data == NULL)
		die("malloc");
	if (fread(data, 1, size, f) != size)
		die(path);
	fclose(f);
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	n_inputs++;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void
run_directory(const char *path)
{
	struct dirent **names = NULL;
	char file[PATH_MAX_LEN];
	struct stat st;
	int n = scandir(path, &names, is_visible, by_name);

	if (n < 0)
		die(path);
	for (int i = 0; i < n; i++) {
		int len = snprintf(
		    file, sizeof(file), "%s/%s", path, names[i]->d_name);

		if (len < 0 || (size_t)len >= sizeof(file))
			die(path);
		free(names[i]);
		if (stat(file, &st) != 0)
			die(file);
		if (S_ISREG(st.st_mode))
			run_file(file, (size_t)st.st_size);
	}
	free(names);
}

static void
run_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		die(path);
	if (S_ISDIR(st.st_mode))
		run_directory(path);
	else
		run_file(path, (size_t)st.st_size);
}

/* 0, or -1 if the target has no corpus. */
static int
run_own_corpus(const char *program)
{
	const char *srcdir = getenv("srcdir");
	const char *name = strrchr(program, '/');
	char path[PATH_MAX_LEN];
	struct stat st;
	int len;

	name = name == NULL ? program : name + 1;
	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	len = snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s",
	    srcdir == NULL ? "." : srcdir, name);
	if (len < 0 || (size_t)len >= sizeof(path) || stat(path, &st) != 0)
		return -1;
	run_directory(path);
	return 0;
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	if (argc < 2 && run_own_corpus(argv[0]) != 0) {
		fprintf(stderr, "%s: no corpus\n", argv[0]);
		return 77;
	}
	/* One empty input each time: the shortest is the most forgotten. */
	(void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	printf("%s: %lu inputs\n", argv[0], n_inputs);
	return n_inputs == 0 && argc < 2 ? 77 : 0;
}
