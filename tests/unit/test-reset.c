/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What resets reach on hosts of every shape, and to whom they are refused: pure. The names of
 * devices are given short ("3:0.1" is 0000:03:00.1).
 */

#include "policy/reset-domain.h"
#include "policy/reset-prospect.h"

#include <check.h>
#include <stdio.h>
#include <time.h>

static struct topology t;
static struct ledger ledger;

static void setup(void)
{
	topology_init(&t);
	ledger_init(&ledger);
}

static void teardown(void)
{
	ledger_done(&ledger);
	topology_done(&t);
}

/* ---- a host */

static char *name_of(const char *s)
{
	unsigned int bus, device, function;
	char *name = NULL;

	if (sscanf(s, "%x:%x.%x", &bus, &device, &function) != 3)
		return strdup(s);
	ck_assert_int_ge(asprintf(&name, "0000:%02x:%02x.%x", bus, device, function), 0);
	return name;
}

struct spec {
	const char *name, *parent; /* NULL: on the root bus */
	uint32_t group;		   /* 0: none */
	const char *driver, *reset, *pf, *slot, *subsystem;
};

static void put(struct spec s)
{
	_cleanup_free_ char *name = name_of(s.name), *parent = s.parent ? name_of(s.parent) : NULL;
	struct device *device = device_new(name, s.subsystem ? s.subsystem : "pci"), *pf;
	const struct device *above = parent ? topology_device(&t, parent) : NULL;

	ck_assert(!parent || above);
	free(device->syspath);
	ck_assert_int_ge(asprintf(&device->syspath, "%s/%s",
				  above ? above->syspath : "/sys/devices/pci0000:00", name),
			 0);
	device->group_id = s.group ? s.group : ID_UNKNOWN;
	ck_assert_int_eq(free_and_strdup(&device->driver, s.driver), 0);
	ck_assert_int_eq(free_and_strdup(&device->slot, s.slot), 0);
	if (s.reset)
		ck_assert_int_eq(strv_extend(&device->reset_methods, s.reset), 0);
	if (s.pf) {
		_cleanup_free_ char *pf_name = name_of(s.pf);

		ck_assert_int_eq(free_and_strdup(&device->physical_function, pf_name), 0);
		pf = topology_device(&t, pf_name);
		ck_assert_int_eq(strv_extend(&pf->virtual_functions, name), 0);
	}
	ck_assert_int_ge(topology_put_device(&t, device), 0);
}
#define PUT(...) put((struct spec){ __VA_ARGS__ })

/* A root port with a device of two functions, one with a NIC alone, one with a bridge and two NICs,
 * a switch with two ports, an SR-IOV device, one on the root bus, and a GPU with an mdev. */
static void usual(void)
{
	PUT("0:1.0", NULL, 1, "pcieport");
	PUT("1:0.0", "0:1.0", 2, "nvme", "flr");
	PUT("1:0.1", "0:1.0", 2, "nvme");
	PUT("0:2.0", NULL, 3, "pcieport");
	PUT("2:0.0", "0:2.0", 4, "e1000e", "flr");
	PUT("0:3.0", NULL, 5, "pcieport");
	PUT("3:0.0", "0:3.0", 6, "shpchp");
	PUT("4:1.0", "3:0.0", 6, "e1000", .slot = "1");
	PUT("4:2.0", "3:0.0", 6, "e1000", "pm", .slot = "2");
	PUT("0:4.0", NULL, 7, "pcieport");
	PUT("5:0.0", "0:4.0", 8, "pcieport");
	PUT("6:0.0", "5:0.0", 9, "pcieport");
	PUT("6:1.0", "5:0.0", 10, "pcieport");
	PUT("7:0.0", "6:0.0", 11, NULL, "flr");
	PUT("8:0.0", "6:1.0", 12, "e1000e", "flr");
	PUT("0:5.0", NULL, 13, "pcieport");
	PUT("9:0.0", "0:5.0", 14, "igb", "flr");
	PUT("9:10.0", "0:5.0", 15, NULL, "flr", .pf = "9:0.0");
	PUT("9:10.2", "0:5.0", 16, NULL, "flr", .pf = "9:0.0");
	PUT("0:1f.2", NULL, 17, "ahci");
	PUT("0:6.0", NULL, 18, "mtty", "flr");
	PUT("83b8f4f2", "0:6.0", 19, "vfio_mdev", .subsystem = "mdev");
}

/* ---- saying domains */

static const char *short_name(const struct device *device)
{
	static char text[8][32];
	static unsigned int next;
	unsigned int bus, slot, function;
	char *s = text[next++ % 8];

	if (sscanf(device->name, "0000:%x:%x.%x", &bus, &slot, &function) != 3)
		return device->name;
	snprintf(s, sizeof(text[0]), "%x:%x.%x", bus, slot, function);
	return s;
}

static char *domain_text(const struct reset_domain *domain)
{
	_cleanup_strv_ char **names = NULL;

	for (size_t i = 0; i < domain->n; i++)
		ck_assert_int_eq(strv_extend(&names, short_name(domain->devices[i])), 0);
	return strv_join(names, " ");
}

static const struct device *find(const char *name)
{
	_cleanup_free_ char *full = name_of(name);
	const struct device *device = topology_device(&t, full);

	ck_assert_msg(device != NULL, "no %s", full);
	return device;
}

/* text: the devices; or "-" for no such reset; bridge: "" for none */
static void ck_domain(const char *name, enum reset_kind kind, const char *text, const char *bridge)
{
	struct reset_domain domain;
	const char *why = NULL;
	int r = reset_domain(&t, find(name), kind, &domain, &why);
	_cleanup_free_ char *is = domain_text(&domain);

	ck_assert_int_ge(r, 0);
	ck_assert_msg(streq(r ? "-" : is, text), "%s of %s: \"%s\", not \"%s\"",
		      reset_kind_to_string(kind), name, r ? "-" : is, text);
	if (r)
		ck_assert_uint_gt(strlen(why), 0);
	else
		ck_assert_str_eq(domain.bridge ? short_name(domain.bridge) : "", bridge);
	if (!r)
		ck_assert(reset_domain_has(&domain, find(name)));
	reset_domain_done(&domain);
}

START_TEST(reach)
{
	usual();
	/* Two functions: each by itself, if it can; the slot and the bus are the same. */
	ck_domain("1:0.0", RESET_FUNCTION, "1:0.0", "");
	ck_domain("1:0.1", RESET_FUNCTION, "-", "");
	ck_domain("1:0.1", RESET_SLOT, "1:0.0 1:0.1", "0:1.0");
	ck_domain("1:0.1", RESET_BUS, "1:0.0 1:0.1", "0:1.0");
	ck_domain("2:0.0", RESET_BUS, "2:0.0", "0:2.0");
	/* A conventional bus with two slots: no reset of one alone. */
	ck_domain("4:1.0", RESET_FUNCTION, "-", "");
	ck_domain("4:1.0", RESET_SLOT, "-", "");
	ck_domain("4:1.0", RESET_BUS, "4:1.0 4:2.0", "3:0.0");
	ck_domain("4:2.0", RESET_FUNCTION, "4:2.0", "");
	/* The bridge's own bus has everything behind the bridge, too. */
	ck_domain("3:0.0", RESET_BUS, "3:0.0 4:1.0 4:2.0", "0:3.0");
	ck_domain("3:0.0", RESET_SLOT, "3:0.0 4:1.0 4:2.0", "0:3.0");
	/* Switches */
	ck_domain("7:0.0", RESET_BUS, "7:0.0", "6:0.0");
	ck_domain("6:0.0", RESET_BUS, "6:0.0 6:1.0 7:0.0 8:0.0", "5:0.0");
	ck_domain("6:0.0", RESET_SLOT, "-", "");
	ck_domain("5:0.0", RESET_BUS, "5:0.0 6:0.0 6:1.0 7:0.0 8:0.0", "0:4.0");
	/* A PF takes its VFs with it, a VF only itself; they are in one slot whatever their
	 * numbers. */
	ck_domain("9:0.0", RESET_FUNCTION, "9:0.0 9:10.0 9:10.2", "");
	ck_domain("9:10.0", RESET_FUNCTION, "9:10.0", "");
	ck_domain("9:10.0", RESET_SLOT, "9:0.0 9:10.0 9:10.2", "0:5.0");
	ck_domain("9:0.0", RESET_SLOT, "9:0.0 9:10.0 9:10.2", "0:5.0");
	ck_domain("9:10.2", RESET_BUS, "9:0.0 9:10.0 9:10.2", "0:5.0");
	/* Nothing resets a root bus, and what has no method has no reset there. */
	ck_domain("0:1f.2", RESET_FUNCTION, "-", "");
	ck_domain("0:1f.2", RESET_SLOT, "-", "");
	ck_domain("0:1f.2", RESET_BUS, "-", "");
	/* A parent takes its mediated devices with it; they cannot be reset by themselves. */
	ck_domain("0:6.0", RESET_FUNCTION, "0:6.0 83b8f4f2", "");
	ck_domain("83b8f4f2", RESET_FUNCTION, "-", "");
	ck_domain("83b8f4f2", RESET_BUS, "-", "");
}
END_TEST

/* Bus addresses do not nest, paths do: 0:1 is not above 0:10. */
START_TEST(names_that_begin_alike)
{
	PUT("0:1.0", NULL, 1, "pcieport");
	PUT("0:10.0", NULL, 2, "pcieport");
	PUT("1:0.0", "0:1.0", 3, NULL, "flr");
	PUT("10:0.0", "0:10.0", 4, NULL, "flr");
	PUT("1:0.7", "0:1.0", 5, NULL);
	ck_domain("1:0.0", RESET_BUS, "1:0.0 1:0.7", "0:1.0");
	ck_domain("10:0.0", RESET_BUS, "10:0.0", "0:10.0");
}
END_TEST

START_TEST(any)
{
	static const char *const all[][2] = {
		{ "1:0.0", "1:0.0 1:0.1" }, { "9:10.0", "9:0.0 9:10.0 9:10.2" },
		{ "0:1f.2", "" },	    { "0:6.0", "0:6.0 83b8f4f2" },
		{ "83b8f4f2", "" },	    { "4:1.0", "4:1.0 4:2.0" },
	};

	usual();
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct reset_domain domain;
		_cleanup_free_ char *text = NULL;

		ck_assert_int_eq(reset_domain_any(&t, find(all[i][0]), &domain), 0);
		text = domain_text(&domain);
		ck_assert_str_eq(text, all[i][1]);
		reset_domain_done(&domain);
	}
}
END_TEST

START_TEST(kinds)
{
	for (int kind = 0; kind < RESET_KIND_MAX; kind++)
		ck_assert_int_eq(reset_kind_from_string(reset_kind_to_string(kind)), kind);
	ck_assert_int_eq(reset_kind_from_string("link"), -EINVAL);
	ck_assert_int_eq(reset_kind_from_string(""), -EINVAL);
}
END_TEST

/* ---- whose it is */

static struct lease *lease(const char *id, uid_t owner)
{
	struct lease *l = lease_new(id);

	l->owner = owner;
	l->state = LEASE_LEASED;
	ck_assert_int_eq(ledger_add(&ledger, l), 0);
	return l;
}

static struct lease_device *give(struct lease *l, const char *name, enum device_state state)
{
	const struct device *device = find(name);
	struct lease_device *d = lease_add_device(l, device->name);

	d->group = device->group_id;
	d->identity = device->identity;
	d->state = state;
	ck_assert_int_eq(lease_add_group(l, d->group, 1), 0);
	return d;
}

/* "DEVICE: WHO, …" of what is missing for a bus reset */
static void ck_missing(const struct lease *l, const char *name, const char *text)
{
	struct reset_missing_list missing;
	_cleanup_strv_ char **parts = NULL;
	_cleanup_free_ char *is = NULL;
	struct reset_domain domain;
	const char *why;

	ck_assert_int_eq(reset_domain(&t, find(name), RESET_BUS, &domain, &why), 0);
	ck_assert_int_eq(reset_missing(&ledger, l, &domain, &missing), 0);
	for (size_t i = 0; i < missing.n; i++)
		ck_assert_int_eq(strv_extendf(&parts, "%s: %s", short_name(missing.items[i].device),
					      missing.items[i].who),
				 0);
	is = strv_join(parts, ", ");
	ck_assert_str_eq(is, text);
	reset_missing_done(&missing);
	reset_domain_done(&domain);
}

START_TEST(missing)
{
	struct lease *l, *other;
	struct device *vf;
	struct lease_device *d;

	usual();
	l = lease("aaaa", 1000);
	other = lease("bbbb", 1001);
	give(l, "1:0.0", DEVICE_GRANTED);
	ck_missing(l, "1:0.0", "1:0.1: lease aaaa of user 1000 has its group, and not the device");
	/* Granted and withheld: its own; and what it left on its driver. */
	give(l, "1:0.1", DEVICE_WITHHELD);
	ck_missing(l, "1:0.0", "");
	give(l, "6:0.0", DEVICE_WITHHELD)->left = true;
	give(l, "7:0.0", DEVICE_FENCED);
	ck_missing(l, "6:0.0",
		   "6:1.0: the host has it, on pcieport, 8:0.0: the host has it, on "
		   "e1000e");
	/* Nobody has it, and no driver: nobody minds. Unless the host shows its console there. */
	give(l, "9:0.0", DEVICE_GRANTED);
	ck_missing(l, "9:0.0", "");
	vf = topology_device(&t, "0000:09:10.2");
	ck_assert_int_eq(use_list_add(&vf->uses, USE_CONSOLE, "the console is on it"), 0);
	ck_missing(l, "9:0.0", "9:10.2: the host's console is on it");
	use_list_done(&vf->uses);
	give(other, "9:10.0", DEVICE_GRANTED);
	ck_missing(l, "9:0.0", "9:10.0: lease bbbb of user 1001 has it");
	ck_assert_int_eq(free_and_strdup(&other->name, "vm2"), 0);
	other->state = LEASE_DRAINING;
	ck_missing(l, "9:0.0", "9:10.0: lease vm2 of user 1001 has it, and is draining");
	/* What came to a leased device's address is not the lease's. */
	d = lease_device(l, "0000:01:00.1");
	d->identity += 1000;
	ck_missing(l, "1:0.0", "1:0.1: it is another device than the one that was leased");
	d->identity -= 1000;
	d->gone = true;
	ck_missing(l, "1:0.0", "1:0.1: it is another device than the one that was leased");
}
END_TEST

START_TEST(reserved)
{
	struct lease *l, *late = lease_new("late");
	struct reset_domain domain;
	const char *why;

	usual();
	l = lease("aaaa", 1000);
	give(l, "9:0.0", DEVICE_GRANTED);
	ck_assert_int_eq(reset_domain(&t, find("9:0.0"), RESET_BUS, &domain, &why), 0);
	ck_assert_int_eq(reset_reserve(l, &domain), 0);
	ck_assert_int_eq(reset_reserve(l, &domain), 0);
	/* The VFs' groups, and each once; its own is its own already. */
	ck_assert_uint_eq(l->n_reserved, 2);
	ck_assert_ptr_null(ledger_group(&ledger, 15));
	ck_assert_ptr_eq(ledger_holder(&ledger, 15), l);
	ck_assert_ptr_eq(ledger_holder(&ledger, 16), l);
	ck_assert_ptr_eq(ledger_holder(&ledger, 14), l);
	ck_assert_ptr_null(ledger_holder(&ledger, 13));
	ck_assert_int_eq(lease_add_group(late, 15, 1), 0);
	ck_assert_int_eq(ledger_add(&ledger, late), LEDGER_GROUP_TAKEN);
	/* For another's reset it is in the way. */
	{
		struct lease *third = lease("cccc", 1002);

		ck_missing(third, "9:10.0",
			   "9:0.0: lease aaaa of user 1000 has it, 9:10.0: a reset of lease aaaa "
			   "of user 1000 reaches it now, 9:10.2: a reset of lease aaaa of user "
			   "1000 reaches it now");
	}
	reset_unreserve(l);
	ck_assert_ptr_null(ledger_holder(&ledger, 15));
	ck_assert_int_eq(ledger_add(&ledger, late), 0);
	reset_domain_done(&domain);
}
END_TEST

/* ---- beforehand */

struct plan_row {
	const char *device;
	enum action action;
};

static struct decision *decision(const struct plan_row *rows, size_t n)
{
	struct decision *d = calloc(1, sizeof(*d));

	d->allowed = true;
	d->verdicts = calloc(n, sizeof(*d->verdicts));
	for (; d->n_verdicts < n; d->n_verdicts++) {
		struct verdict *v = &d->verdicts[d->n_verdicts];

		v->device = name_of(rows[d->n_verdicts].device);
		v->action = rows[d->n_verdicts].action;
		v->rule = strdup("r");
	}
	return d;
}

static const char *no_bar(const struct device *bridge, void *userdata)
{
	return NULL;
}

/* userdata: of which bridge the kernel says no. */
static const char *bar(const struct device *bridge, void *userdata)
{
	return streq(bridge->name, userdata) ? "it is not to be" : NULL;
}

static char *prospects_text_barred(const struct policy *policy, struct decision *d,
				   reset_bar_fn barred, const char *bridge)
{
	_cleanup_strv_ char **lines = NULL;
	struct reset_prospects p;

	ck_assert_int_eq(reset_prospects(&t, policy, &ledger, d, barred, (void *)bridge, &p), 0);
	for (size_t i = 0; i < p.n; i++)
		ck_assert_int_eq(strv_extendf(&lines, "%s %s%s%s%s%s", p.items[i].device + 5,
					      reset_kind_to_string(p.items[i].kind),
					      p.items[i].vmm ? " vmm" : "",
					      p.items[i].broker ? " vfiod" : "",
					      *p.items[i].why ? ": " : "", p.items[i].why),
				 0);
	reset_prospects_done(&p);
	return strv_join(lines, "\n");
}

static char *prospects_text(const struct policy *policy, struct decision *d)
{
	return prospects_text_barred(policy, d, no_bar, NULL);
}

START_TEST(prospects)
{
	struct rule rule = { .id = (char *)"r", .verbs = 1U << VERB_ACQUIRE | 1U << VERB_RESET };
	struct policy policy = { .rules = &rule, .n_rules = 1 };
	const struct {
		struct plan_row rows[3];
		size_t n;
		const char *text;
	} cases[] = {
		{ { { "1:0.0", ACTION_GRANT }, { "1:0.1", ACTION_GRANT } },
		  2,
		  "01:00.0 function vmm vfiod\n01:00.0 slot vmm vfiod\n01:00.0 bus vmm vfiod\n"
		  "01:00.1 slot vmm vfiod\n01:00.1 bus vmm vfiod" },
		{ { { "1:0.0", ACTION_GRANT }, { "1:0.1", ACTION_PARK_NONE } },
		  2,
		  "01:00.0 function vmm vfiod\n"
		  "01:00.0 slot vfiod: 0000:01:00.1 would be on no VFIO driver, so the VMM cannot\n"
		  "01:00.0 bus vfiod: 0000:01:00.1 would be on no VFIO driver, so the VMM cannot" },
		{ { { "1:0.0", ACTION_GRANT }, { "1:0.1", ACTION_PARK_VFIO } },
		  2,
		  "01:00.0 function vmm vfiod\n01:00.0 slot vmm vfiod\n01:00.0 bus vmm vfiod" },
		/* The host's VFs of a PF, and a root bus. */
		{ { { "9:0.0", ACTION_GRANT } },
		  1,
		  "09:00.0 function vmm vfiod\n"
		  "09:00.0 slot vfiod: 0000:09:10.0 would be on no VFIO driver, so the VMM cannot; "
		  "0000:09:10.2 would be on no VFIO driver, so the VMM cannot\n"
		  "09:00.0 bus vfiod: 0000:09:10.0 would be on no VFIO driver, so the VMM cannot; "
		  "0000:09:10.2 would be on no VFIO driver, so the VMM cannot" },
		{ { { "8:0.0", ACTION_GRANT } },
		  1,
		  "08:00.0 function vmm vfiod\n08:00.0 slot vmm vfiod\n08:00.0 bus vmm vfiod" },
		{ { { "0:1f.2", ACTION_GRANT } }, 1, "" },
	};

	usual();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(decision_freep) struct decision *d = decision(cases[i].rows, cases[i].n);
		_cleanup_free_ char *text = prospects_text(&policy, d);

		ck_assert_str_eq(text, cases[i].text);
	}
}
END_TEST

/* VFs that the host uses: the VMM's reset of their PF takes them along, and vfiod's does not come.
 */
START_TEST(prospects_of_a_pf)
{
	struct rule rule = { .id = (char *)"r", .verbs = 1U << VERB_ACQUIRE | 1U << VERB_RESET };
	struct policy policy = { .rules = &rule, .n_rules = 1 };
	const struct plan_row one = { "9:0.0", ACTION_GRANT };
	_cleanup_(decision_freep) struct decision *d = decision(&one, 1);
	_cleanup_free_ char *text = NULL;

	usual();
	ck_assert_int_eq(free_and_strdup(&topology_device(&t, "0000:09:10.0")->driver, "igbvf"), 0);
	text = prospects_text(&policy, d);
	ck_assert_str_eq(text,
			 "09:00.0 function vmm: 0000:09:10.0 is not in the claim\n"
			 "09:00.0 slot: 0000:09:10.0 is not in the claim; 0000:09:10.2 would be on "
			 "no VFIO driver, so the VMM cannot\n"
			 "09:00.0 bus: 0000:09:10.0 is not in the claim; 0000:09:10.2 would be on "
			 "no VFIO driver, so the VMM cannot");
}
END_TEST

START_TEST(prospects_refused)
{
	struct rule rule = { .id = (char *)"r", .verbs = 1U << VERB_ACQUIRE };
	struct policy policy = { .rules = &rule, .n_rules = 1 };
	const struct plan_row one = { "8:0.0", ACTION_GRANT };
	_cleanup_(decision_freep) struct decision *d = decision(&one, 1);
	_cleanup_free_ char *text = NULL, *none = NULL;

	usual();
	text = prospects_text(&policy, d);
	ck_assert_str_eq(text, "08:00.0 function vmm: rule \"r\" lacks the verb \"reset\"\n"
			       "08:00.0 slot vmm: rule \"r\" lacks the verb \"reset\"\n"
			       "08:00.0 bus vmm: rule \"r\" lacks the verb \"reset\"");
	d->allowed = false;
	none = prospects_text(&policy, d);
	ck_assert_str_eq(none, "");
}
END_TEST

/* What the kernel does not do for the daemon it does for a VMM that has all of it. */
START_TEST(prospects_barred)
{
	struct rule rule = { .id = (char *)"r", .verbs = 1U << VERB_ACQUIRE | 1U << VERB_RESET };
	struct policy policy = { .rules = &rule, .n_rules = 1 };
	const struct plan_row rows[] = { { "2:0.0", ACTION_GRANT }, { "8:0.0", ACTION_GRANT } };
	_cleanup_(decision_freep) struct decision *d = decision(rows, 2);
	_cleanup_free_ char *text = NULL;

	usual();
	text = prospects_text_barred(&policy, d, bar, "0000:00:02.0");
	ck_assert_str_eq(text, "02:00.0 function vmm vfiod\n"
			       "02:00.0 slot vmm: not by vfiod: it is not to be\n"
			       "02:00.0 bus vmm: not by vfiod: it is not to be\n"
			       "08:00.0 function vmm vfiod\n"
			       "08:00.0 slot vmm vfiod\n"
			       "08:00.0 bus vmm vfiod");
}
END_TEST

/* A host with thousands of devices: whoever asks, and anybody may, does not keep the others. */
START_TEST(many)
{
	struct reset_domain domain;
	const char *why;

	PUT("0:1.0", NULL, 1, "pcieport");
	PUT("1:0.0", "0:1.0", 2, "igb", "flr");
	for (unsigned int i = 1; i < 256; i++) {
		_cleanup_free_ char *name = NULL;

		ck_assert_int_ge(asprintf(&name, "1:%x.%x", i / 8, i % 8), 0);
		PUT(name, "0:1.0", 100 + i, NULL, "flr", .pf = "1:0.0");
	}
	PUT("0:2.0", NULL, 3, "pcieport");
	for (unsigned int i = 0; i < 5000; i++) {
		_cleanup_free_ char *name = NULL;

		ck_assert_int_ge(asprintf(&name, "%x:%x.%x", 2 + i / 256, i / 8 % 32, i % 8), 0);
		PUT(name, "0:2.0", 1000 + i, NULL, "flr");
	}
	/* Of this process alone, and far more than it takes. */
	for (int kind = 0; kind < RESET_AUTO; kind++) {
		clock_t before = clock();

		for (int i = 0; i < 10; i++) {
			ck_assert_int_eq(reset_domain(&t, find("1:0.0"), kind, &domain, &why), 0);
			ck_assert_uint_eq(domain.n, 256);
			reset_domain_done(&domain);
		}
		ck_assert_msg(clock() - before < 2 * CLOCKS_PER_SEC, "%s: ten took %f s",
			      reset_kind_to_string(kind),
			      (double)(clock() - before) / CLOCKS_PER_SEC);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reset");
	TCase *tcase = tcase_create("reset");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, reach);
	tcase_add_test(tcase, names_that_begin_alike);
	tcase_add_test(tcase, any);
	tcase_add_test(tcase, kinds);
	tcase_add_test(tcase, missing);
	tcase_add_test(tcase, reserved);
	tcase_add_test(tcase, prospects);
	tcase_add_test(tcase, prospects_of_a_pf);
	tcase_add_test(tcase, prospects_refused);
	tcase_add_test(tcase, prospects_barred);
	tcase_add_test(tcase, many);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
