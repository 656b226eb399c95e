/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target once with every input it is given, so that corpora and regressions are tests
 * of any build: "replay PATH...", each a file or a directory of files. Directories that are not
 * there are passed over, for a target has no regressions until it has found something.
 *
 * No input may leave a descriptor open: a fuzzer that runs it for the thousandth time has none
 * left.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "lib/open-fds.h"

#define REPLAY_INPUT_MAX (1u << 20)

static unsigned replay_count;

static void replay_bytes(const uint8_t *bytes, size_t size)
{
	/* A buffer of this very size: reading beyond it is seen. */
	uint8_t *copy = malloc(size > 0 ? size : 1);
	int fds = count_open_fds();

	fuzz_check(copy);
	if (size > 0)
		memcpy(copy, bytes, size);
	fuzz_check(LLVMFuzzerTestOneInput(copy, size) == 0);
	free(copy);
	/* The first one may open what stays for all. */
	fuzz_check(replay_count == 0 || count_open_fds() == fds);
	replay_count++;
}

static void replay_file(const char *path)
{
	static uint8_t bytes[REPLAY_INPUT_MAX];
	FILE *file = fopen(path, "rbe");
	size_t size;

	fuzz_check(file);
	size = fread(bytes, 1, sizeof(bytes), file);
	fuzz_check(!ferror(file));
	fclose(file);
	/* The last line of the log of a run that ends here. */
	printf("%s\n", path);
	fflush(stdout);
	replay_bytes(bytes, size);
}

static void replay_directory(const char *directory)
{
	struct dirent **names = NULL;
	int n = scandir(directory, &names, NULL, alphasort);
	char path[PATH_MAX];

	fuzz_check(n >= 0);
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", directory, names[i]->d_name);
			replay_file(path);
		}
		free(names[i]);
	}
	free(names);
}

int main(int argc, char **argv)
{
	struct stat st;

	replay_bytes(NULL, 0);
	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &st) < 0) {
			fuzz_check(errno == ENOENT);
			continue;
		}
		if (S_ISDIR(st.st_mode))
			replay_directory(argv[i]);
		else
			replay_file(argv[i]);
	}
	printf("%u inputs\n", replay_count);
	/* The empty one alone says that the corpus was not found. */
	return replay_count > 1 ? 0 : 1;
}
