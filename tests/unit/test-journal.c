/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The journal: every field comes back as it was; what is garbled, cut off, hostile or not ours is
 * refused, reported and left in place; a full disk leaves the file before intact.
 */

#include "daemon/lease/journal.h"

#include "daemon/util/fd.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ID "0123456789abcdef"

static char base[64];
static char path[96];
static struct journal journal;

static int remove_entry(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(name);
}

static void setup(void)
{
	strcpy(base, "/tmp/vfiod-test-journal-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(path, sizeof(path), "%s/leases", base);
	ck_assert_int_eq(journal_open(&journal, path), 0);
}

static void teardown(void)
{
	journal_close(&journal);
	nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void set(char **p, const char *s)
{
	ck_assert_int_eq(free_and_strdup(p, s), 0);
}

/* Every field has a value that no default and no other field has. */
static struct lease *full_lease(void)
{
	struct lease *l = lease_new(ID);
	struct lease_device *d;

	ck_assert_ptr_nonnull(l);
	set(&l->name, "vm \"one\" / ümlaut");
	l->owner = 4294967294U;
	l->mode = MODE_NODE;
	l->state = LEASE_DRAINING;
	ck_assert_int_eq(lease_add_group(l, 4294967295U, UINT64_MAX), 0);
	ck_assert_int_eq(lease_add_group(l, 0, 1ULL << 63), 0);
	lease_group(l, 0)->appearance = UINT64_MAX - 3;
	set(&lease_group(l, 0)->type, "DMA-FQ");
	lease_group(l, 4294967295U)->gone = true;
	l->persist = l->shared = l->attach = l->device_fds = true;
	l->park = PARK_NONE;
	l->revoke = REVOKE_KILL;
	l->memlock = UINT64_MAX;
	l->since_usec = 9223372036854775809ULL;
	set(&l->connection, ":1.42");
	set(&l->bus_id, "f00f");
	l->acquirer = 1001;
	set(&l->unit, "vm-1.service");
	l->has_lifeline = true;
	set(&l->end_reason, "revoked: maintenance");
	set(&l->part_of, "0123456789abcdef");
	l->revocation = REVOCATION_KILLED;
	l->revoke_deadline_usec = UINT64_MAX - 2;
	set(&l->revoke_reason, "maintenance");
	set(&l->revoke_note, "process 4711");
	l->blocked = true;

	d = lease_add_device(l, "0000:03:00.0");
	set(&d->syspath, "/sys/devices/pci0000:00/0000:03:00.0");
	d->identity = UINT64_MAX - 1;
	d->appearance = UINT64_MAX - 4;
	d->vendor = 0x8086;
	d->product = 0x10d3;
	d->subvendor = ID_UNKNOWN;
	d->subproduct = 0;
	d->group = 4294967295U;
	d->state = DEVICE_GRANTED;
	set(&d->rule, "vm-nics");
	set(&d->rule_before, "vm-nics-kept");
	d->bridge = true;
	set(&d->saved_driver, "e1000e");
	set(&d->saved_override, "an/override with blanks");
	d->saved_bus_master = true;
	set(&d->target_driver, "vfio-pci");
	d->left = true;
	d->parking = true;
	d->came = true;
	d->gone = true;
	set(&d->evicted, "e1000");
	set(&d->vf_switch, "0000:03:00.0");
	set(&d->error, "VERIFY: it is on no driver");
	d = lease_add_device(l, "0000:00:1f.2");
	d->group = 0;
	d->state = DEVICE_FENCED;

	ck_assert_int_eq(guest_bus_put(&l->guest, NULL, (struct guest_address){ 2, 0 }), 0);
	ck_assert_int_eq(guest_bus_put(&l->guest, d->name, (struct guest_address){ 30, 7 }), 0);

	l->holders = calloc(2, sizeof(*l->holders));
	l->n_holders = 2;
	l->holders[0] = (struct lease_holder){ .pid = 4711, .command = strdup("qemu-system-x86") };
	l->holders[1] = (struct lease_holder){ .pid = 1, .command = NULL };
	return l;
}

#define assert_same_number(a, b, field) ck_assert_msg((a)->field == (b)->field, #field)
#define assert_same_string(a, b, field) ck_assert_msg(streq0((a)->field, (b)->field), #field)

static void assert_same_device(const struct lease_device *a, const struct lease_device *b)
{
	assert_same_string(a, b, name);
	assert_same_string(a, b, syspath);
	assert_same_number(a, b, identity);
	assert_same_number(a, b, appearance);
	assert_same_number(a, b, vendor);
	assert_same_number(a, b, product);
	assert_same_number(a, b, subvendor);
	assert_same_number(a, b, subproduct);
	assert_same_number(a, b, group);
	assert_same_number(a, b, state);
	assert_same_string(a, b, rule);
	assert_same_string(a, b, rule_before);
	assert_same_number(a, b, bridge);
	assert_same_string(a, b, saved_driver);
	assert_same_string(a, b, saved_override);
	assert_same_number(a, b, saved_bus_master);
	assert_same_string(a, b, target_driver);
	assert_same_number(a, b, left);
	assert_same_number(a, b, parking);
	assert_same_number(a, b, came);
	assert_same_number(a, b, gone);
	assert_same_string(a, b, evicted);
	assert_same_string(a, b, vf_switch);
	assert_same_string(a, b, error);
}

static void assert_same(const struct lease *a, const struct lease *b)
{
	assert_same_string(a, b, id);
	assert_same_string(a, b, name);
	assert_same_number(a, b, owner);
	assert_same_number(a, b, mode);
	assert_same_number(a, b, state);
	assert_same_number(a, b, n_groups);
	for (size_t i = 0; i < a->n_groups; i++) {
		assert_same_number(&a->groups[i], &b->groups[i], id);
		assert_same_number(&a->groups[i], &b->groups[i], generation);
		assert_same_number(&a->groups[i], &b->groups[i], appearance);
		assert_same_string(&a->groups[i], &b->groups[i], type);
		assert_same_number(&a->groups[i], &b->groups[i], gone);
	}
	assert_same_number(a, b, n_devices);
	for (size_t i = 0; i < a->n_devices; i++)
		assert_same_device(&a->devices[i], &b->devices[i]);
	assert_same_number(a, b, persist);
	assert_same_number(a, b, shared);
	assert_same_number(a, b, attach);
	assert_same_number(a, b, device_fds);
	assert_same_number(a, b, park);
	assert_same_number(a, b, revoke);
	assert_same_number(a, b, memlock);
	assert_same_number(a, b, since_usec);
	assert_same_string(a, b, connection);
	assert_same_string(a, b, bus_id);
	assert_same_number(a, b, acquirer);
	assert_same_string(a, b, unit);
	assert_same_number(a, b, has_lifeline);
	assert_same_string(a, b, end_reason);
	assert_same_string(a, b, part_of);
	assert_same_number(a, b, revocation);
	assert_same_number(a, b, revoke_deadline_usec);
	assert_same_string(a, b, revoke_reason);
	assert_same_string(a, b, revoke_note);
	assert_same_number(a, b, blocked);
	assert_same_number(a, b, n_holders);
	for (size_t i = 0; i < a->n_holders; i++) {
		assert_same_number(&a->holders[i], &b->holders[i], pid);
		assert_same_string(&a->holders[i], &b->holders[i], command);
	}
	assert_same_number(a, b, guest.n);
	for (size_t i = 0; i < a->guest.n; i++) {
		assert_same_string(&a->guest.items[i], &b->guest.items[i], device);
		assert_same_number(&a->guest.items[i], &b->guest.items[i], address.slot);
		assert_same_number(&a->guest.items[i], &b->guest.items[i], address.function);
	}
}

#ifdef __LP64__
/*
 * A new field changes a size, and is noticed here: add it to the journal, and above. Of the lease,
 * `reserved` is in none: no reset outlives the daemon.
 */
_Static_assert(sizeof(struct lease_device) == 152, "struct lease_device has another size");
_Static_assert(sizeof(struct lease_group) == 40, "struct lease_group has another size");
_Static_assert(sizeof(struct lease) == 304, "struct lease has another size");
#endif

static char *to_json(const struct lease *lease)
{
	char *text = NULL;

	ck_assert_int_eq(lease_to_json(lease, &text), 0);
	return text;
}

START_TEST(test_round_trip)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease(), *again = NULL;
	_cleanup_free_ char *text = to_json(lease), *why = NULL;

	ck_assert_int_eq(lease_from_json(text, strlen(text), &again, &why), 0);
	assert_same(lease, again);
}
END_TEST

START_TEST(test_round_trip_bare)
{
	_cleanup_(lease_freep) struct lease *lease = lease_new(ID), *again = NULL;
	_cleanup_free_ char *text = to_json(lease), *why = NULL;

	ck_assert_int_eq(lease_from_json(text, strlen(text), &again, &why), 0);
	assert_same(lease, again);
}
END_TEST

START_TEST(test_every_enum)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease();

	for (int i = 0; i < 4 * 5 * 3 * 2 * 3; i++) {
		_cleanup_(lease_freep) struct lease *again = NULL;
		_cleanup_free_ char *text = NULL, *why = NULL;

		lease->devices[0].state = (enum device_state)(i % DEVICE_STATE_MAX);
		lease->state = (enum lease_state)(i / 4 % LEASE_STATE_MAX);
		lease->park = (enum park)(i / 20 % PARK_MAX);
		lease->revoke = (enum revoke)(i / 60 % REVOKE_MAX);
		lease->mode = (enum mode)(i / 120 % MODE_AUTO);
		text = to_json(lease);
		ck_assert_int_eq(lease_from_json(text, strlen(text), &again, &why), 0);
		assert_same(lease, again);
	}
}
END_TEST

/* ---- refusals */

static char *replace(const char *text, const char *what, const char *by)
{
	const char *at = strstr(text, what);
	char *s = NULL;

	ck_assert_msg(at != NULL, "no %s in the text", what);
	ck_assert_int_ge(asprintf(&s, "%.*s%s%s", (int)(at - text), text, by, at + strlen(what)),
			 0);
	return s;
}

static const struct {
	const char *what, *by;
} refused[] = {
	{ "\"version\":1", "\"version\":2" },
	{ "\"version\":1", "\"version\":\"1\"" },
	{ "\"version\":1", "\"version\":4294967297" },
	{ "\"version\":1,", "" },
	{ "\"id\":\"" ID "\"", "\"id\":\"../../../etc/pass\"" },
	{ "\"id\":\"" ID "\"", "\"id\":\"0123456789abcdeF\"" },
	{ "\"id\":\"" ID "\"", "\"id\":\"\"" },
	{ "\"id\":\"" ID "\",", "" },
	{ "\"persist\":true", "\"persist\":1" },
	{ "\"persist\":true", "\"persist\":\"true\"" },
	{ "\"persist\":true,", "" },
	{ "\"persist\":true", "\"persist\":true,\"persist\":false" },
	{ "\"persist\":true", "\"persist\":true,\"unknown\":false" },
	{ "\"mode\":\"node\"", "\"mode\":\"auto\"" },
	{ "\"mode\":\"node\"", "\"mode\":\"root\"" },
	{ "\"mode\":\"node\"", "\"mode\":2" },
	{ "\"state\":\"draining\"", "\"state\":\"free\"" },
	{ "\"owner\":4294967294", "\"owner\":-1" },
	{ "\"owner\":4294967294", "\"owner\":4294967296" },
	{ "\"owner\":4294967294", "\"owner\":1.0" },
	{ "\"owner\":4294967294", "\"owner\":1e3" },
	{ "\"memlock\":\"18446744073709551615\"", "\"memlock\":\"18446744073709551616\"" },
	{ "\"memlock\":\"18446744073709551615\"", "\"memlock\":\"-1\"" },
	{ "\"memlock\":\"18446744073709551615\"", "\"memlock\":\" 1\"" },
	{ "\"memlock\":\"18446744073709551615\"", "\"memlock\":\"\"" },
	{ "\"memlock\":\"18446744073709551615\"", "\"memlock\":1" },
	{ "\"name\":\"0000:03:00.0\"", "\"name\":\"../0000:03:00.0\"" },
	{ "\"name\":\"0000:03:00.0\"", "\"name\":\"..\"" },
	{ "\"name\":\"0000:03:00.0\"", "\"name\":\"\"" },
	{ "\"name\":\"0000:03:00.0\"", "\"name\":\"a b\"" },
	{ "\"name\":\"0000:03:00.0\"", "\"name\":\"a\\u0000b\"" },
	{ "\"name\":\"0000:03:00.0\"", "\"name\":\"a\\nb\"" },
	{ "\"name\":\"0000:03:00.0\"", "\"name\":null" },
	{ "\"name\":\"0000:03:00.0\"", "\"name\":\"0000:00:1f.2\"" },
	{ "\"group\":4294967295", "\"group\":7" },
	{ "\"saved_driver\":\"e1000e\"", "\"saved_driver\":\"../../x\"" },
	{ "\"saved_driver\":\"e1000e\"", "\"saved_driver\":\"\"" },
	{ "\"saved_driver\":\"e1000e\"", "\"saved_driver\":null" },
	{ "\"target_driver\":\"vfio-pci\"", "\"target_driver\":\"..\"" },
	{ "\"saved_override\":\"an/override", "\"saved_override\":\"an\\noverride" },
	{ "\"syspath\":\"/sys/devices/", "\"syspath\":\"/etc/" },
	{ "\"syspath\":\"/sys/devices/", "\"syspath\":\"/sys/../etc/" },
	{ "{\"id\":0,", "{\"id\":4294967295," },
	{ "\"pid\":4711", "\"pid\":\"4711\"" },
	{ "\"holders\":[", "\"holders\":[[]," },
	{ "\"devices\":[", "\"devices\":[3," },
	{ "\"devices\":[", "\"devices\":[{}," },
	{ "\"holders\":", "\"holder\":" },
	{ "{", "" },
	{ "{", "[" },
	{ "{", "\xef\xbb\xbf{" },
};

/* json-c's layout out of the way: the text in one line without blanks outside strings. */
static char *dense(const struct lease *lease)
{
	char *text = to_json(lease), *to = text;
	bool inside = false;

	for (const char *from = text; *from; from++) {
		if (*from == '"' && (from == text || from[-1] != '\\'))
			inside = !inside;
		if (inside || (*from != ' ' && *from != '\n'))
			*to++ = *from;
	}
	*to = 0;
	return text;
}

START_TEST(test_refused)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease(), *again = NULL;
	_cleanup_free_ char *text = dense(lease), *why = NULL, *bad = NULL;

	/* The text as it is is fine, so it is the change that is refused. */
	ck_assert_int_eq(lease_from_json(text, strlen(text), &again, &why), 0);
	bad = replace(text, refused[_i].what, refused[_i].by);
	again = lease_free(again);
	ck_assert_msg(lease_from_json(bad, strlen(bad), &again, &why) == -EBADMSG, "%s",
		      refused[_i].by);
	ck_assert_ptr_null(again);
	ck_assert_ptr_nonnull(why);
}
END_TEST

/* Whatever is read of a garbled text is a lease that is written in the same way again. */
static void read_garbled(const char *text, size_t size)
{
	_cleanup_(lease_freep) struct lease *lease = NULL, *again = NULL;
	_cleanup_free_ char *why = NULL, *why2 = NULL, *round = NULL;
	int r = lease_from_json(text, size, &lease, &why);

	ck_assert(r == 0 || r == -EBADMSG);
	ck_assert_int_eq(r == 0, lease != NULL);
	if (r < 0) {
		ck_assert_ptr_nonnull(why);
		return;
	}
	round = to_json(lease);
	ck_assert_int_eq(lease_from_json(round, strlen(round), &again, &why2), 0);
	assert_same(lease, again);
}

START_TEST(test_truncated)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease();
	_cleanup_free_ char *text = to_json(lease);
	size_t size = strlen(text);

	for (size_t i = 0; i < size - 2; i++) {
		_cleanup_(lease_freep) struct lease *again = NULL;
		_cleanup_free_ char *why = NULL;

		ck_assert_int_eq(lease_from_json(text, i, &again, &why), -EBADMSG);
	}
}
END_TEST

START_TEST(test_garbled)
{
	static const char alphabet[] = "{}[]\",:\\0123456789-.eEtfn u\n\x01\x80\xff";
	_cleanup_(lease_freep) struct lease *lease = full_lease();
	_cleanup_free_ char *text = dense(lease);
	size_t size = strlen(text);

	srandom((unsigned int)_i);
	for (int round = 0; round < 2000; round++) {
		_cleanup_free_ char *copy = malloc(size);
		size_t n = size;

		memcpy(copy, text, size);
		for (long k = 1 + random() % 3; k > 0; k--) {
			size_t at = (size_t)random() % n;

			if (random() % 4 == 0 && n > 1) {
				/* loses a piece */
				size_t cut = 1 + (size_t)random() % (n - at);

				memmove(copy + at, copy + at + cut, n - at - cut);
				n -= cut;
				if (n == 0)
					break;
			} else {
				copy[at] = alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
			}
		}
		read_garbled(copy, n);
	}
}
END_TEST

START_TEST(test_deep)
{
	enum { DEPTH = 100000 };
	_cleanup_free_ char *text = malloc(DEPTH);

	memset(text, '[', DEPTH);
	read_garbled(text, DEPTH);
}
END_TEST

/* ---- files */

static char *bad_files;

static void on_bad(const char *file, const char *why, void *userdata)
{
	_cleanup_free_ char *before = bad_files;

	ck_assert_str_ne(why, "");
	ck_assert_int_ge(asprintf(&bad_files, "%s%s\n", before ? before : "", file), 0);
}

static size_t read_all(struct lease ***leases)
{
	size_t n;

	free(bad_files);
	bad_files = strdup("");
	ck_assert_int_eq(journal_read_all(&journal, leases, &n, on_bad, NULL), 0);
	return n;
}

static void free_all(struct lease **leases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		lease_free(leases[i]);
	free(leases);
	free(bad_files);
	bad_files = NULL;
}

static void put_file(const char *name, const char *text, mode_t mode)
{
	int fd = openat(journal.dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

static bool is_there(const char *name)
{
	return faccessat(journal.dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

START_TEST(test_write_read_remove)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease();
	struct lease **leases;
	size_t n;

	ck_assert_uint_eq(read_all(&leases), 0);
	free_all(leases, 0);
	ck_assert_int_eq(journal_write(&journal, lease), 0);
	lease->state = LEASE_RESTORING;
	ck_assert_int_eq(journal_write(&journal, lease), 0);
	n = read_all(&leases);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(bad_files, "");
	assert_same(lease, leases[0]);
	free_all(leases, n);
	ck_assert_int_eq(journal_remove(&journal, ID), 0);
	ck_assert(!is_there(ID ".json"));
	ck_assert_int_eq(journal_remove(&journal, ID), 0);
}
END_TEST

START_TEST(test_never_writes_what_it_could_not_read)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease();

	ck_assert_int_eq(journal_write(&journal, lease), 0);
	set(&lease->end_reason, "not \xff UTF-8");
	ck_assert_int_eq(journal_write(&journal, lease), -EINVAL);
	set(&lease->end_reason, "fine");
	set(&lease->devices[0].saved_driver, "../up");
	ck_assert_int_eq(journal_write(&journal, lease), -EINVAL);
	set(&lease->devices[0].saved_driver, NULL);
	set(&lease->id, "../0123456789abc");
	ck_assert_int_eq(journal_write(&journal, lease), -EINVAL);
	ck_assert(is_there(ID ".json"));
	ck_assert(!is_there("../0123456789abc.json"));
}
END_TEST

START_TEST(test_bad_files_stay)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease();
	_cleanup_free_ char *text = to_json(lease);
	struct lease **leases;
	size_t n;

	ck_assert_int_eq(journal_write(&journal, lease), 0);
	put_file("0000000000000001.json", "", 0600);
	put_file("0000000000000002.json", "{\"version\":9}", 0600);
	put_file("0000000000000003.json", text, 0600);
	put_file("0000000000000004.json", text, 0622);
	ck_assert_int_eq(symlinkat(ID ".json", journal.dir, "0000000000000005.json"), 0);
	ck_assert_int_eq(mkdirat(journal.dir, "0000000000000006.json", 0700), 0);
	ck_assert_int_eq(mkfifoat(journal.dir, "0000000000000007.json", 0600), 0);
	put_file("README", "hello", 0600);
	put_file(".0000000000000008.json.tmp", "{\"ver", 0600);
	put_file(ID ".lock", "", 0600);
	n = read_all(&leases);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(leases[0]->id, ID);
	ck_assert_str_eq(bad_files,
			 "0000000000000001.json\n0000000000000002.json\n0000000000000003.json\n"
			 "0000000000000004.json\n0000000000000005.json\n0000000000000006.json\n"
			 "0000000000000007.json\nREADME\n");
	free_all(leases, n);
	for (int i = 1; i <= 7; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%016d.json", i);
		ck_assert(is_there(name));
	}
	ck_assert(is_there(ID ".lock"));
	/* What a cut-off write left is not the truth. */
	ck_assert(!is_there(".0000000000000008.json.tmp"));
}
END_TEST

START_TEST(test_file_of_somebody_else)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease();
	struct lease **leases;
	size_t n;

	if (geteuid() != 0) {
		fprintf(stderr, "only root can give a file away: not run\n");
		return;
	}
	ck_assert_int_eq(journal_write(&journal, lease), 0);
	ck_assert_int_eq(fchownat(journal.dir, ID ".json", 1234, 0, 0), 0);
	n = read_all(&leases);
	ck_assert_uint_eq(n, 0);
	ck_assert_str_eq(bad_files, ID ".json\n");
	free_all(leases, n);
	journal_close(&journal);
	ck_assert_int_eq(chown(path, 1234, 0), 0);
	ck_assert_int_eq(journal_open(&journal, path), -EPERM);
}
END_TEST

START_TEST(test_open_refuses)
{
	struct journal other;
	char link[128];

	ck_assert_int_eq(chmod(path, 0777), 0);
	ck_assert_int_eq(journal_open(&other, path), -EPERM);
	ck_assert_int_eq(chmod(path, 0700), 0);
	snprintf(link, sizeof(link), "%s/link", base);
	ck_assert_int_eq(symlink(path, link), 0);
	ck_assert_int_lt(journal_open(&other, link), 0);
	ck_assert_int_eq(journal_open(&other, "/proc/nowhere/leases"), -ENOENT);
}
END_TEST

static struct lease *only_lease(void)
{
	struct lease **leases, *lease;

	ck_assert_uint_eq(read_all(&leases), 1);
	ck_assert_str_eq(bad_files, "");
	lease = leases[0];
	free(leases);
	free(bad_files);
	bad_files = NULL;
	return lease;
}

/* In a process of its own: the limit would hold for the test's own report, too. */
static int write_limited(const struct lease *lease, size_t size)
{
	struct rlimit limit = { .rlim_cur = size, .rlim_max = RLIM_INFINITY };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		signal(SIGXFSZ, SIG_IGN);
		_exit(setrlimit(RLIMIT_FSIZE, &limit) < 0 ? 255 : -journal_write(&journal, lease));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

/* The file may not grow beyond some bytes. Each limit cuts the write elsewhere. */
START_TEST(test_write_fails)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease(), *before = NULL;
	_cleanup_free_ char *text = to_json(lease);

	ck_assert_int_eq(journal_write(&journal, lease), 0);
	lease->state = LEASE_RESTORING;
	for (size_t size = 0; size < strlen(text); size += 97)
		ck_assert_int_eq(write_limited(lease, size), -EFBIG);
	before = only_lease();
	ck_assert_int_eq(before->state, LEASE_DRAINING);
	ck_assert(!is_there("." ID ".json.tmp"));
	ck_assert_int_eq(write_limited(lease, 2 * strlen(text)), 0);
}
END_TEST

/* A file system that is full. */
START_TEST(test_no_space)
{
	_cleanup_(lease_freep) struct lease *lease = full_lease(), *before = NULL;
	static char fill[4096];
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		fprintf(stderr, "test_no_space: no mount namespace (%m): not run\n");
		return;
	}
	journal_close(&journal);
	ck_assert_int_eq(mount("tmpfs", path, "tmpfs", 0, "size=64k,mode=0700"), 0);
	ck_assert_int_eq(journal_open(&journal, path), 0);
	ck_assert_int_eq(journal_write(&journal, lease), 0);
	fd = openat(journal.dir, "fill.lock", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, fill, sizeof(fill)) > 0)
		;
	close(fd);
	lease->state = LEASE_RESTORING;
	ck_assert_int_eq(journal_write(&journal, lease), -ENOSPC);
	before = only_lease();
	ck_assert_int_eq(before->state, LEASE_DRAINING);
	ck_assert_int_eq(unlinkat(journal.dir, "fill.lock", 0), 0);
	ck_assert_int_eq(journal_write(&journal, lease), 0);
}
END_TEST

START_TEST(test_lock)
{
	int fd = journal_lock(&journal, ID), again;
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(journal_lock(&journal, ID), -EWOULDBLOCK);
	ck_assert_int_ge(again = journal_lock(&journal, "fedcba9876543210"), 0);
	close(again);
	/* A worker that lives on holds it, whatever becomes of the daemon. */
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	close(fd);
	ck_assert_int_eq(journal_lock(&journal, ID), -EWOULDBLOCK);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ck_assert_int_ge(fd = journal_lock(&journal, ID), 0);
	/* A lock of a removed file is no lock. */
	ck_assert_int_eq(journal_remove(&journal, ID), 0);
	ck_assert_int_ge(again = journal_lock(&journal, ID), 0);
	close(again);
	close(fd);
}
END_TEST

START_TEST(test_lock_follows_no_link)
{
	ck_assert_int_eq(symlinkat("elsewhere", journal.dir, ID ".lock"), 0);
	ck_assert_int_eq(journal_lock(&journal, ID), -ELOOP);
	ck_assert(!is_there("elsewhere"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("journal");
	TCase *json = tcase_create("json"), *files = tcase_create("files");
	SRunner *runner;
	int failed;

	tcase_set_timeout(json, 60);
	tcase_add_test(json, test_round_trip);
	tcase_add_test(json, test_round_trip_bare);
	tcase_add_test(json, test_every_enum);
	tcase_add_loop_test(json, test_refused, 0, ARRAY_SIZE(refused));
	tcase_add_test(json, test_truncated);
	tcase_add_loop_test(json, test_garbled, 0, 8);
	tcase_add_test(json, test_deep);
	suite_add_tcase(suite, json);
	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_test(files, test_write_read_remove);
	tcase_add_test(files, test_never_writes_what_it_could_not_read);
	tcase_add_test(files, test_bad_files_stay);
	tcase_add_test(files, test_file_of_somebody_else);
	tcase_add_test(files, test_open_refuses);
	tcase_add_test(files, test_write_fails);
	tcase_add_test(files, test_no_space);
	tcase_add_test(files, test_lock);
	tcase_add_test(files, test_lock_follows_no_link);
	suite_add_tcase(suite, files);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
