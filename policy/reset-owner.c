/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether a lease may have a reset domain reset, and that nobody takes a part of it meanwhile. */

#include "policy/reset-domain.h"

#include <stdarg.h>
#include <stdio.h>

void reset_missing_done(struct reset_missing_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].who);
	free(list->items);
	*list = (struct reset_missing_list){};
}

static int add(struct reset_missing_list *list, const struct device *device, const char *format,
	       ...) _printf_(3, 4);
static int add(struct reset_missing_list *list, const struct device *device, const char *format,
	       ...)
{
	char *who = NULL;
	va_list ap;
	int r = ARRAY_RESERVE_ONE(list->items, list->n);

	if (r < 0)
		return r;
	va_start(ap, format);
	r = vasprintf(&who, format, ap);
	va_end(ap);
	if (r < 0)
		return -ENOMEM;
	list->items[list->n++] = (struct reset_missing){ .device = device, .who = who };
	return 0;
}

/* Whether what is at the address is the device that the lease has. */
static bool is_own(const struct lease *lease, const struct device *device)
{
	const struct lease_device *d = lease_device(lease, device->name);

	return d && !d->gone && (d->identity == device->identity || d->identity == 0);
}

static int add_leased(struct reset_missing_list *list, const struct device *device,
		      const struct lease *lease, const struct lease *other)
{
	const char *label = other->name ? other->name : other->id;

	if (device->group && !lease_has_group(other, device->group_id))
		return add(list, device, "a reset of lease %s of user %u reaches it now", label,
			   other->owner);
	if (lease_device(other, device->name) && other == lease)
		return add(list, device, "it is another device than the one that was leased");
	if (other == lease)
		return add(list, device, "lease %s of user %u has its group, and not the device",
			   label, other->owner);
	if (other->state == LEASE_LEASED)
		return add(list, device, "lease %s of user %u has it", label, other->owner);
	return add(list, device, "lease %s of user %u has it, and is %s", label, other->owner,
		   lease_state_to_string(other->state));
}

bool reset_hits_console(const struct device *device)
{
	for (size_t i = 0; i < device->uses.n; i++)
		if (device->uses.items[i].kind == USE_CONSOLE)
			return true;
	return false;
}

static int look(const struct ledger *ledger, const struct lease *lease, const struct device *device,
		struct reset_missing_list *list)
{
	const struct lease *holder = ledger_device(ledger, device->name);

	if (is_own(lease, device))
		return 0;
	if (!holder && device->group)
		holder = ledger_holder(ledger, device->group_id);
	if (holder)
		return add_leased(list, device, lease, holder);
	if (device->driver)
		return add(list, device, "the host has it, on %s", device->driver);
	if (reset_hits_console(device))
		return add(list, device, "the host's console is on it");
	return 0;
}

int reset_missing(const struct ledger *ledger, const struct lease *lease,
		  const struct reset_domain *domain, struct reset_missing_list *missing)
{
	*missing = (struct reset_missing_list){};
	for (size_t i = 0; i < domain->n; i++) {
		int r = look(ledger, lease, domain->devices[i], missing);

		if (r < 0) {
			reset_missing_done(missing);
			return r;
		}
	}
	return 0;
}

int reset_reserve(struct lease *lease, const struct reset_domain *domain)
{
	for (size_t i = 0; i < domain->n; i++) {
		const struct device *device = domain->devices[i];
		int r;

		if (!device->group || lease_has_group(lease, device->group_id) ||
		    lease_reserves(lease, device->group_id))
			continue;
		r = ARRAY_RESERVE_ONE(lease->reserved, lease->n_reserved);
		if (r < 0)
			return r;
		lease->reserved[lease->n_reserved++] = device->group_id;
	}
	return 0;
}

void reset_unreserve(struct lease *lease)
{
	free(lease->reserved);
	lease->reserved = NULL;
	lease->n_reserved = 0;
}
