/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files of a mocked host, by paths relative to its root. These are for tests: what fails for lack
 * of memory or disk ends the program with a message.
 */

#include "policy/base.h"

#include <sys/types.h>

/* Everything takes the fd of the root and a path below it, by a format. */
bool tree_exists(int root, const char *format, ...) _printf_(2, 3);
void tree_mkdir(int root, const char *format, ...) _printf_(2, 3); /* with its parents */
/* Writes a file, made with its directories; a value of sysfs wants its own newline. */
void tree_write(int root, const char *text, const char *format, ...) _printf_(3, 4);
void tree_write_bytes(int root, const void *data, size_t size, const char *path);
/* Content without trailing newline, of the caller; NULL: there is no such file. */
char *tree_read(int root, const char *format, ...) _printf_(2, 3);
/* A relative link at `path` to `target`, both below the root; sysfs' way. Replaces one. */
void tree_link(int root, const char *target, const char *format, ...) _printf_(3, 4);
/* Last component of a link's target, of the caller; NULL: no link. */
char *tree_link_name(int root, const char *format, ...) _printf_(2, 3);
/* What a link points to, as a path below the root, of the caller; NULL: no link. */
char *tree_link_path(int root, const char *format, ...) _printf_(2, 3);
/* Removes a file or a directory with all in it; what is not there is fine. */
void tree_remove(int root, const char *format, ...) _printf_(2, 3);
void tree_rename(int root, const char *from, const char *to);
/* Names in a directory, sorted, of the caller; an empty vector for none. */
char **tree_list(int root, const char *format, ...) _printf_(2, 3);

char *mock_asprintf(const char *format, ...) _printf_(1, 2);
