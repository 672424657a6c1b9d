/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Runs a fuzz target over the files of a corpus, once each: for compilers without libFuzzer, and
 * as a test that what was once found stays found. The directory comes from $top_srcdir and
 * CORPUS, which is set where this is compiled.
 */

#include "policy/base.h"

#include <dirent.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *data;
	size_t size;

	if (!f) {
		perror(path);
		return -1;
	}
	data = malloc(1 << 20);
	size = data ? fread(data, 1, 1 << 20, f) : 0;
	fclose(f);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int main(void)
{
	const char *top = getenv("top_srcdir");
	char dir[4096], path[8192];
	unsigned int n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/%s", top ? top : ".", CORPUS);
	d = opendir(dir);
	if (!d) {
		perror(dir);
		return EXIT_FAILURE;
	}
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (replay(path) < 0)
			return EXIT_FAILURE;
		n++;
	}
	closedir(d);
	printf("%u files\n", n);
	return n ? EXIT_SUCCESS : EXIT_FAILURE;
}
