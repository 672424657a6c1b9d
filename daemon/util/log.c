/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The implementation of log.h. The journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)
 * is written here rather than by sd_journal_sendv(3), because that one blocks while the journal
 * does not read, and a daemon that everybody waits for must not.
 */

#include "daemon/util/log.h"

#include "policy/utf8.h"

#include <endian.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define LINE_SIZE_MAX  2048
#define DATAGRAM_MAX   (160 * 1024) /* below the default of net.core.wmem_default */

static struct {
	int journal; /* -EBADF: stderr */
	pid_t pid;   /* whose it is: children close it, and its number may be another file then */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int level;
	uint64_t dropped;
} logger = { .journal = -EBADF, .level = LOG_INFO };

struct datagram {
	char *data;
	size_t size, allocated;
	bool failed; /* out of memory, or full: what is there is sent */
};

static const struct {
	const char *name;
	int priority;
} level_names[] = {
	{ "error", LOG_ERR }, { "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
	{ "info", LOG_INFO }, { "debug", LOG_DEBUG },
};

void log_set_level(int priority)
{
	logger.level = priority;
}

int log_set_level_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (streq(level_names[i].name, name)) {
			logger.level = level_names[i].priority;
			return 0;
		}
	return -EINVAL;
}

/* $JOURNAL_STREAM is "DEVICE:INODE" of the stream that the service manager made of stderr; a
 * redirected stderr is another file. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;
	char end;

	if (!stream || sscanf(stream, "%llu:%llu%c", &dev, &ino, &end) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == (dev_t)dev && st.st_ino == (ino_t)ino;
}

static int open_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, r;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, logger.path, sizeof(address.sun_path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	logger.journal = fd;
	logger.pid = getpid();
	return 0;
}

int log_open_journal(const char *path)
{
	if (strlen(path) >= sizeof(logger.path))
		return -ENAMETOOLONG;
	log_done();
	strcpy(logger.path, path);
	return open_socket();
}

void log_init(void)
{
	const char *level = getenv("VFIOD_LOG_LEVEL");

	if (stderr_is_journal())
		log_open_journal(JOURNAL_SOCKET);
	if (level && log_set_level_name(level) < 0)
		log_warning(
			"VFIOD_LOG_LEVEL: \"%s\" is none of error, warning, notice, info, debug",
			level);
}

void log_done(void)
{
	if (logger.journal >= 0 && logger.pid == getpid())
		close(logger.journal);
	logger.journal = -EBADF;
	logger.path[0] = '\0';
}

/* The journal socket of this process: after a fork another one, the inherited one was closed. */
static int journal_socket(void)
{
	if (logger.path[0] == '\0')
		return -EBADF;
	if (logger.journal < 0 || logger.pid != getpid()) {
		logger.journal = -EBADF;
		open_socket();
	}
	return logger.journal;
}

static void datagram_add(struct datagram *d, const void *data, size_t size)
{
	size_t need = d->size + size;
	char *grown;

	if (d->failed || need > DATAGRAM_MAX) {
		d->failed = true;
		return;
	}
	if (need > d->allocated) {
		size_t n = need * 2;

		grown = realloc(d->data, n);
		if (!grown) {
			d->failed = true;
			return;
		}
		d->data = grown;
		d->allocated = n;
	}
	memcpy(d->data + d->size, data, size);
	d->size = need;
}

/*
 * NAME '\n', length as 64 bits little endian, value, '\n': the form in which a value may contain
 * anything. One that does not fit is left out whole.
 */
static void datagram_field(struct datagram *d, const char *name, const char *value)
{
	size_t size = strnlen(value, LOG_VALUE_MAX);
	uint64_t le = htole64((uint64_t)size);
	size_t before = d->size;

	datagram_add(d, name, strlen(name));
	datagram_add(d, "\n", 1);
	datagram_add(d, &le, sizeof(le));
	datagram_add(d, value, size);
	datagram_add(d, "\n", 1);
	if (d->failed)
		d->size = before;
}

static size_t datagram_log_field(struct datagram *d, const struct log_field *field, size_t left)
{
	size_t n = 0;

	if (field->value && n < left) {
		datagram_field(d, field->name, field->value);
		n++;
	}
	STRV_FOREACH (value, field->values) {
		if (n >= left)
			break;
		datagram_field(d, field->name, *value);
		n++;
	}
	return n;
}

/* What would end the line, or move the cursor of a terminal that shows it. */
static void replace_controls(char *s, size_t size)
{
	size_t n;
	uint32_t c;

	for (; size > 0; s += n, size -= n) {
		n = utf8_read(s, size, &c);
		if (n > 0 && !utf8_is_control(c))
			continue;
		n = n ? n : 1;
		memset(s, '?', n);
	}
}

/* One line to stderr, with the priority as sd-daemon(3) has it. */
static void write_stderr(int priority, const char *text)
{
	char line[LINE_SIZE_MAX + 8];
	size_t n;
	ssize_t k;

	n = (size_t)snprintf(line, sizeof(line), "<%d>%.*s", priority, LINE_SIZE_MAX, text);
	replace_controls(line, n);
	line[n++] = '\n';
	do
		k = write(STDERR_FILENO, line, n);
	while (k < 0 && errno == EINTR);
}

/* -EAGAIN: it does not read. The journal may have been restarted: connected sockets to its socket
 * unit go on working then, and one that does not is made again. */
static int send_datagram(const struct datagram *d)
{
	int fd = journal_socket();

	if (fd < 0)
		return -EBADF;
	if (send(fd, d->data, d->size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 0;
	if (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE)
		return -errno;
	close(fd);
	logger.journal = -EBADF;
	fd = journal_socket();
	if (fd < 0)
		return -EBADF;
	return send(fd, d->data, d->size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ? 0 : -errno;
}

static void report_dropped(void)
{
	_cleanup_free_ char *data = NULL;
	struct datagram d = { 0 };
	char text[96];

	snprintf(text, sizeof(text), "%llu log records were lost while the journal did not read",
		 (unsigned long long)logger.dropped);
	datagram_field(&d, "MESSAGE", text);
	datagram_field(&d, "PRIORITY", "4");
	datagram_field(&d, "SYSLOG_IDENTIFIER", "vfiod");
	data = d.data;
	if (send_datagram(&d) == 0)
		logger.dropped = 0;
}

static void send_record(const char *message_id, int priority, const struct log_field *fields,
			const char *text)
{
	_cleanup_free_ char *data = NULL;
	struct datagram d = { 0 };
	size_t n = 0;
	int r;

	datagram_field(&d, "MESSAGE", text);
	datagram_field(&d, "PRIORITY", LOG_NUMBER(priority));
	datagram_field(&d, "SYSLOG_IDENTIFIER", "vfiod");
	if (message_id)
		datagram_field(&d, "MESSAGE_ID", message_id);
	for (const struct log_field *f = fields; f && f->name && n < LOG_FIELDS_MAX; f++)
		n += datagram_log_field(&d, f, LOG_FIELDS_MAX - n);
	data = d.data;
	if (logger.dropped > 0)
		report_dropped();
	r = send_datagram(&d);
	if (r == -EAGAIN || r == -ENOBUFS)
		logger.dropped++;
	else if (r < 0)
		write_stderr(priority, text);
}

static void log_va(const char *message_id, int priority, const struct log_field *fields,
		   const char *format, va_list args)
{
	char text[LINE_SIZE_MAX];
	int saved = errno;

	if (priority > logger.level)
		return;
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		snprintf(text, sizeof(text), "%s", format);
	if (logger.path[0] != '\0')
		send_record(message_id, priority, fields, text);
	else
		write_stderr(priority, text);
	errno = saved;
}

void log_line(int priority, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_va(NULL, priority, NULL, format, args);
	va_end(args);
}

void log_record(const char *message_id, int priority, const struct log_field *fields,
		const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_va(message_id, priority, fields, format, args);
	va_end(args);
}
