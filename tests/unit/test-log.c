/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The log: what arrives at the journal's socket byte for byte, that values cannot add fields or
 * lines, that a journal that does not read holds up nobody; and that the records of messages.h,
 * of docs/journal-records.md and of the catalog are the same.
 */

#include "daemon/util/log.h"

#include "daemon/util/messages.h"

#include <check.h>
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/test-log.XXXXXX";
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int journal = -1;

static void setup(void)
{
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(journal, 0);
	ck_assert_int_eq(bind(journal, (struct sockaddr *)&address, sizeof(address)), 0);
	log_set_level(LOG_INFO);
	ck_assert_int_eq(log_open_journal(address.sun_path), 0);
}

static void teardown(void)
{
	log_done();
	close(journal);
	unlink(address.sun_path);
	rmdir(directory);
}

#define ENTRIES_MAX 512
struct entry {
	char name[32];
	char *value;
	size_t size;
};
static struct entry entries[ENTRIES_MAX];
static size_t n_entries;

/* Takes a datagram apart as journald does. False: none is there. */
static bool receive(void)
{
	static char data[256 * 1024];
	ssize_t size = recv(journal, data, sizeof(data), MSG_DONTWAIT);
	size_t at = 0;

	n_entries = 0;
	if (size < 0)
		return false;
	while (at < (size_t)size) {
		char *end = memchr(data + at, '\n', (size_t)size - at);
		struct entry *e = &entries[n_entries++];
		uint64_t length;

		ck_assert_uint_le(n_entries, ENTRIES_MAX);
		ck_assert_ptr_nonnull(end);
		*end = '\0';
		snprintf(e->name, sizeof(e->name), "%s", data + at);
		memcpy(&length, end + 1, sizeof(length));
		e->size = (size_t)le64toh(length);
		e->value = end + 1 + sizeof(length);
		at = (size_t)(e->value - data) + e->size;
		ck_assert_uint_lt(at, (size_t)size);
		ck_assert_int_eq(data[at], '\n');
		data[at++] = '\0';
	}
	return true;
}

static const char *find(const char *name, size_t nth)
{
	for (size_t i = 0; i < n_entries; i++)
		if (streq(entries[i].name, name) && nth-- == 0)
			return entries[i].value;
	return NULL;
}

START_TEST(test_record)
{
	char *devices[] = { (char *)"0000:03:00.0", (char *)"0000:03:00.1", NULL };

	errno = 4711;
	log_record(MESSAGE_LEASED, LOG_NOTICE,
		   LOG_FIELDS({ FIELD_LEASE, "0123456789abcdef" }, { FIELD_UID, LOG_NUMBER(1000) },
			      { FIELD_UNIT, NULL }, { FIELD_DEVICE, .values = devices },
			      { FIELD_RULE, .values = NULL }),
		   "Lease %s", "0123456789abcdef");
	ck_assert_int_eq(errno, 4711);
	ck_assert(receive());
	ck_assert_str_eq(find("MESSAGE", 0), "Lease 0123456789abcdef");
	ck_assert_str_eq(find("PRIORITY", 0), "5");
	ck_assert_str_eq(find("MESSAGE_ID", 0), MESSAGE_LEASED);
	ck_assert_str_eq(find("SYSLOG_IDENTIFIER", 0), "vfiod");
	ck_assert_str_eq(find(FIELD_UID, 0), "1000");
	ck_assert_str_eq(find(FIELD_DEVICE, 0), "0000:03:00.0");
	ck_assert_str_eq(find(FIELD_DEVICE, 1), "0000:03:00.1");
	ck_assert_ptr_null(find(FIELD_DEVICE, 2));
	ck_assert_ptr_null(find(FIELD_UNIT, 0));
	ck_assert_ptr_null(find(FIELD_RULE, 0));
	ck_assert(!receive());
}
END_TEST

START_TEST(test_injection)
{
	const char *evil = "x\nVFIOD_UID=0\nMESSAGE_ID\n\x04";

	log_record(MESSAGE_REFUSED, LOG_INFO, LOG_FIELDS({ FIELD_NAME, evil }), "no: %s", evil);
	ck_assert(receive());
	ck_assert_uint_eq(n_entries, 5);
	ck_assert_str_eq(find(FIELD_NAME, 0), evil);
	ck_assert_ptr_null(find(FIELD_UID, 0));
	ck_assert_str_eq(find("MESSAGE_ID", 0), MESSAGE_REFUSED);
	ck_assert_ptr_null(find("MESSAGE_ID", 1));
}
END_TEST

START_TEST(test_limits)
{
	_cleanup_free_ char *big = malloc(100001);
	_cleanup_strv_ char **many = NULL;
	size_t n = 0;

	memset(big, 'x', 100000);
	big[100000] = '\0';
	for (int i = 0; i < 400; i++)
		ck_assert_int_eq(strv_extendf(&many, "%d%s", i, big), 0);
	log_record(MESSAGE_ENDED, LOG_INFO, LOG_FIELDS({ FIELD_DEVICE, .values = many }), "%s",
		   big);
	ck_assert(receive());
	for (size_t i = 0; i < n_entries; i++)
		ck_assert_uint_le(entries[i].size, LOG_VALUE_MAX);
	while (find(FIELD_DEVICE, n))
		n++;
	ck_assert_uint_ge(n, 64);
	ck_assert_uint_le(n, LOG_FIELDS_MAX);
	ck_assert_str_eq(find("MESSAGE_ID", 0), MESSAGE_ENDED);
}
END_TEST

START_TEST(test_level)
{
	log_debug("quiet");
	ck_assert(!receive());
	ck_assert_int_eq(log_set_level_name("debug"), 0);
	log_debug("loud");
	ck_assert(receive());
	ck_assert_str_eq(find("MESSAGE", 0), "loud");
	ck_assert_ptr_null(find("MESSAGE_ID", 0));
	ck_assert_int_eq(log_set_level_name("loud"), -EINVAL);
	ck_assert_int_eq(log_set_level_name("error"), 0);
	log_warning("quiet");
	ck_assert(!receive());
}
END_TEST

/* The journal stops reading: nobody waits, and the loss is told as soon as it reads again. */
START_TEST(test_never_blocks)
{
	size_t received = 0;
	bool told = false;

	alarm(20);
	for (int i = 0; i < 5000; i++)
		log_info("%d", i);
	while (receive())
		received++;
	ck_assert_uint_gt(received, 0);
	ck_assert_uint_lt(received, 5000);
	log_info("again");
	while (receive()) {
		const char *text = find("MESSAGE", 0);

		if (strstr(text, "log records were lost")) {
			told = true;
			ck_assert_uint_eq(strtoul(text, NULL, 10), 5000 - received);
		}
	}
	ck_assert(told);
	alarm(0);
}
END_TEST

/* A child has closed the parent's socket; the number is another file of its by then. */
START_TEST(test_child)
{
	char path[sizeof(directory) + 8];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/file", directory);
	log_info("parent");
	ck_assert(receive());
	pid = fork();
	if (pid == 0) {
		struct stat st;
		int fd;

		for (fd = 3; fd < 64; fd++)
			close(fd);
		for (int i = 0; i < 32; i++)
			fd = open(path, O_RDWR | O_CREAT, 0600);
		log_info("child");
		_exit(fstat(fd, &st) == 0 && st.st_size == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(receive());
	ck_assert_str_eq(find("MESSAGE", 0), "child");
	log_info("parent");
	ck_assert(receive());
	unlink(path);
}
END_TEST

/* Without a journal: one line to stderr, whatever is in it. */
START_TEST(test_stderr)
{
	int saved = dup(STDERR_FILENO), pipefd[2];
	char buffer[8192];
	ssize_t k;

	log_done();
	ck_assert_int_eq(pipe(pipefd), 0);
	dup2(pipefd[1], STDERR_FILENO);
	log_record(MESSAGE_REFUSED, LOG_WARNING, LOG_FIELDS({ FIELD_NAME, "x" }), "a\nb\x1b[31m%s",
		   "\r<0>c\xc2\x9b\xff\xc3\xa4");
	dup2(saved, STDERR_FILENO);
	k = read(pipefd[0], buffer, sizeof(buffer) - 1);
	ck_assert_int_gt(k, 0);
	buffer[k] = '\0';
	ck_assert_str_eq(buffer, "<4>a?b?[31m?<0>c???\xc3\xa4\n");
	close(pipefd[0]);
	close(pipefd[1]);
	close(saved);
}
END_TEST

/* A stderr that is not the one of $JOURNAL_STREAM stays stderr. */
START_TEST(test_journal_stream)
{
	log_done();
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_init();
	log_info("to stderr, not to the journal of this machine");
	ck_assert(!receive());
	unsetenv("JOURNAL_STREAM");
}
END_TEST

static char *read_source(const char *name)
{
	const char *top = getenv("top_srcdir");
	_cleanup_free_ char *path = NULL;
	char *text;
	size_t size;
	FILE *f;

	ck_assert_int_gt(asprintf(&path, "%s/%s", top ? top : ".", name), 0);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s: %m", path);
	text = calloc(1, 1 << 20);
	size = fread(text, 1, (1 << 20) - 1, f);
	ck_assert_uint_gt(size, 0);
	fclose(f);
	return text;
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, word)); p += strlen(word))
		n++;
	return n;
}

static const struct {
	const char *name, *id;
} messages[] = {
#define MESSAGE_ENTRY(name, id, when) { "MESSAGE_" #name, id },
	MESSAGES(MESSAGE_ENTRY)
};

START_TEST(test_documented)
{
	_cleanup_free_ char *docs = read_source("docs/journal-records.md");
	_cleanup_free_ char *catalog = read_source("systemd/vfiod.catalog");
	_cleanup_free_ char *header = read_source("daemon/util/messages.h");
	char entry[64];

	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		ck_assert_msg(strstr(docs, messages[i].id) != NULL, "docs: %s", messages[i].name);
		snprintf(entry, sizeof(entry), "\n-- %s\n", messages[i].id);
		ck_assert_msg(strstr(catalog, entry) != NULL, "catalog: %s", messages[i].name);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(messages[i].id, messages[j].id);
	}
	ck_assert_uint_eq(count(catalog, "\n-- "), ARRAY_SIZE(messages));
	/* Every field of the header is in the docs. */
	for (char *p = header; (p = strstr(p, "\"VFIOD_"));) {
		char *end = strchr(p + 1, '"');

		*end = '\0';
		snprintf(entry, sizeof(entry), "`%s`", p + 1);
		ck_assert_msg(strstr(docs, entry) != NULL, "docs: %s", p + 1);
		p = end + 1;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tcase = tcase_create("log");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, test_record);
	tcase_add_test(tcase, test_injection);
	tcase_add_test(tcase, test_limits);
	tcase_add_test(tcase, test_level);
	tcase_add_test(tcase, test_never_blocks);
	tcase_add_test(tcase, test_child);
	tcase_add_test(tcase, test_stderr);
	tcase_add_test(tcase, test_journal_stream);
	tcase_add_test(tcase, test_documented);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
