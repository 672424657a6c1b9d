/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pieces of vmclient, the client that the tests inside the virtual host drive by a line
 * protocol. It speaks raw D-Bus and raw VFIO: an attacker does not use the project's library.
 */
#ifndef VMCLIENT_H
#define VMCLIENT_H

#include <stddef.h>

/* Fds under names that the test gives them. */
int slot_get(const char *name);
void slot_set(const char *name, int fd);
int slot_close(const char *name);
void slot_close_all(void);
void slot_list(void);

/* One answer: `ok …` or `error …`, on one line. */
void answer_ok(const char *format, ...) __attribute__((format(printf, 1, 2)));
void answer_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* An answer from errno, with the call's name. */
void answer_errno(const char *what);

/* Runs the command in words; 0 when it is none of this part's. */
int command_bus(char **words, size_t n);
int command_vfio(char **words, size_t n);
int command_qmp(char **words, size_t n);

#endif
