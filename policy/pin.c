/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Pins: what the hardware at an address must be. The keys of an object of "devices" choose a
 * device; its "pin" then holds the device against what the administrator wrote down: a device that
 * is chosen and is another one is refused, not passed over.
 */

#include "policy/rules.h"

static const char *const pin_key_table[PIN_KEY_MAX] = {
	[PIN_VENDOR] = "vendor",
	[PIN_PRODUCT] = "product",
	[PIN_SERIAL] = "serial",
};
DEFINE_STRING_TABLE(pin_key, enum pin_key)

static bool id_is(const char *digits, uint32_t id)
{
	return id != ID_UNKNOWN && strtoul(digits, NULL, 16) == id;
}

static bool key_holds(enum pin_key key, const char *value, const struct device *device)
{
	switch (key) {
	case PIN_VENDOR:
		return id_is(value, device->vendor);
	case PIN_PRODUCT:
		return id_is(value, device->product);
	case PIN_SERIAL:
		/* What cannot be read may be anything: it is not what was pinned. */
		return !str_empty(device->serial) && streq(value, device->serial);
	case PIN_KEY_MAX:
	case PIN_KEY_INVALID:
		break;
	}
	return false;
}

bool pin_holds(const struct device_match *match, const struct device *device)
{
	for (int key = 0; key < PIN_KEY_MAX; key++)
		if (match->pin[key] && !key_holds((enum pin_key)key, match->pin[key], device))
			return false;
	return true;
}

const struct device_match *pool_broken_pin(const struct policy *policy, const struct pool *pool,
					   const struct device *device, const char *host_driver)
{
	const struct device_match *broken = NULL;

	for (size_t i = 0; i < pool->n_devices; i++) {
		const struct device_match *match = &pool->devices[i];

		if (!device_match_matches(policy, match, device, host_driver))
			continue;
		if (pin_holds(match, device))
			return NULL;
		if (!broken)
			broken = match;
	}
	return broken;
}

/* The pools that an object of a rule names: one in which the device is what it should be is enough.
 */
static const struct device_match *pools_broken_pin(const struct policy *policy,
						   const struct device_match *match,
						   const struct device *device,
						   const char *host_driver)
{
	const struct device_match *broken = NULL;

	STRV_FOREACH (name, match->values[DEVICE_KEY_POOL]) {
		const struct pool *pool = policy_pool(policy, *name);
		const struct device_match *one;

		if (!pool || !pool_matches_device(policy, pool, device, host_driver))
			continue;
		one = pool_broken_pin(policy, pool, device, host_driver);
		if (!one)
			return NULL;
		if (!broken)
			broken = one;
	}
	return broken;
}

const struct device_match *rule_broken_pin(const struct policy *policy, const struct rule *rule,
					   const struct device *device, const char *host_driver)
{
	const struct device_match *broken = NULL;

	for (size_t i = 0; i < rule->n_devices; i++) {
		const struct device_match *match = &rule->devices[i], *one = NULL;

		if (!device_match_matches(policy, match, device, host_driver))
			continue;
		if (!pin_holds(match, device))
			one = match;
		else
			one = pools_broken_pin(policy, match, device, host_driver);
		if (!one)
			return NULL;
		if (!broken)
			broken = one;
	}
	return broken;
}

static void put_id(FILE *f, uint32_t id)
{
	if (id == ID_UNKNOWN)
		fputs("unknown", f);
	else
		fprintf(f, "%04x", id);
}

void pin_put_difference(FILE *f, const struct device_match *match, const struct device *device)
{
	const char *separator = "";

	for (int key = 0; key < PIN_KEY_MAX; key++) {
		if (!match->pin[key] || key_holds((enum pin_key)key, match->pin[key], device))
			continue;
		fprintf(f, "%s%s ", separator,
			key == PIN_SERIAL ? "serial number" : pin_key_to_string((enum pin_key)key));
		if (key == PIN_VENDOR)
			put_id(f, device->vendor);
		else if (key == PIN_PRODUCT)
			put_id(f, device->product);
		else
			fputs(!device->serial	? "not known"
			      : *device->serial ? device->serial
						: "none",
			      f);
		fprintf(f, ", not %s", match->pin[key]);
		separator = "; ";
	}
}
