/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of scan-cache.h: binary trees of the C library, which report no memory. */

#include "daemon/sysfs/scan-cache.h"

#include "daemon/sysfs/aliases.h"
#include "daemon/sysfs/attr.h"

#include <search.h>
#include <stdio.h>

/* Distinct modaliases that are kept; more than any machine has. */
#define MODELS_MAX 16384

struct model {
	char *modalias;
	char *text;   /* or NULL */
	char *driver; /* or NULL as long as nobody asked */
};

struct slot {
	char *name;
	char *address; /* 0000:03:00, without the function */
};

struct scan_cache {
	void *models; /* tree of struct model */
	size_t n_models;
	struct vfio_aliases *aliases;
	char **slot_names; /* as listed when the slots were read */
	struct slot *slots;
	size_t n_slots;
	void *seen; /* tree of struct scan_seen */
	uint64_t round;
};

/* Both kinds of entries begin with their key. */
static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void model_free(void *p)
{
	struct model *model = p;

	free(model->modalias);
	free(model->text);
	free(model->driver);
	free(model);
}

static void seen_free(void *p)
{
	struct scan_seen *seen = p;

	free(seen->name);
	free(seen);
}

static void slots_done(struct scan_cache *cache)
{
	for (size_t i = 0; i < cache->n_slots; i++) {
		free(cache->slots[i].name);
		free(cache->slots[i].address);
	}
	free(cache->slots);
	cache->slots = NULL;
	cache->n_slots = 0;
	cache->slot_names = strv_free(cache->slot_names);
}

struct scan_cache *scan_cache_new(void)
{
	return calloc(1, sizeof(struct scan_cache));
}

struct scan_cache *scan_cache_free(struct scan_cache *cache)
{
	if (!cache)
		return NULL;
	tdestroy(cache->models, model_free);
	tdestroy(cache->seen, seen_free);
	vfio_aliases_free(cache->aliases);
	slots_done(cache);
	free(cache);
	return NULL;
}

/* "Intel Corporation 82574L Gigabit Network Connection", either part, or NULL. */
static int read_model(struct udev_hwdb *hwdb, const char *modalias, char **text)
{
	const char *vendor = NULL, *model = NULL;
	struct udev_list_entry *entry;

	*text = NULL;
	if (!hwdb)
		return 0;
	entry = udev_hwdb_get_properties_list_entry(hwdb, modalias, 0);
	for (; entry; entry = udev_list_entry_get_next(entry)) {
		const char *name = udev_list_entry_get_name(entry);

		if (streq(name, "ID_VENDOR_FROM_DATABASE"))
			vendor = udev_list_entry_get_value(entry);
		else if (streq(name, "ID_MODEL_FROM_DATABASE"))
			model = udev_list_entry_get_value(entry);
	}
	if (!vendor && !model)
		return 0;
	if (asprintf(text, "%s%s%s", vendor ?: "", vendor && model ? " " : "", model ?: "") < 0) {
		*text = NULL;
		return -ENOMEM;
	}
	text_clean(*text);
	return 0;
}

static struct model *add_model(struct scan_cache *cache, struct udev_hwdb *hwdb,
			       const char *modalias)
{
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	model->modalias = strdup(modalias);
	if (!model->modalias || read_model(hwdb, modalias, &model->text) < 0 ||
	    !tsearch(model, &cache->models, compare_keys)) {
		model_free(model);
		return NULL;
	}
	cache->n_models++;
	return model;
}

static struct model *find_model(struct scanner *scanner, const char *modalias)
{
	struct scan_cache *cache = scanner->cache;
	struct model **found = tfind(&modalias, &cache->models, compare_keys);

	if (found)
		return *found;
	if (cache->n_models >= MODELS_MAX) {
		tdestroy(cache->models, model_free);
		cache->models = NULL;
		cache->n_models = 0;
	}
	return add_model(cache, scanner->hwdb, modalias);
}

int scan_cache_model(struct scanner *scanner, const char *modalias, const char **text)
{
	struct model *model = find_model(scanner, modalias);

	*text = model ? model->text : NULL;
	return model ? 0 : -ENOMEM;
}

int scan_cache_vfio_driver(struct scanner *scanner, const char *modalias, const char **driver)
{
	struct scan_cache *cache = scanner->cache;
	struct model *model;
	int r;

	if (!cache->aliases) {
		r = vfio_aliases_read(scanner->host->modules, &cache->aliases);
		if (r < 0)
			return r;
	}
	model = find_model(scanner, modalias);
	if (!model)
		return -ENOMEM;
	if (!model->driver) {
		model->driver = strdup(vfio_aliases_match(cache->aliases, modalias) ?: "vfio-pci");
		if (!model->driver)
			return -ENOMEM;
	}
	*driver = model->driver;
	return 0;
}

static int add_slot(struct scan_cache *cache, const char *name, const char *address)
{
	struct slot *slot;

	if (ARRAY_RESERVE_ONE(cache->slots, cache->n_slots) < 0)
		return -ENOMEM;
	slot = &cache->slots[cache->n_slots++];
	slot->name = strdup(name);
	slot->address = strdup(address);
	return slot->name && slot->address ? 0 : -ENOMEM;
}

int scan_cache_read_slots(struct scanner *scanner)
{
	struct scan_cache *cache = scanner->cache;
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(scanner->host->sys, "bus/pci/slots", &names);

	if (r < 0)
		return r;
	/* An address belongs to the slot for as long as the slot is there. */
	if (cache->slot_names && strv_equal(names, cache->slot_names))
		return 0;
	slots_done(cache);
	STRV_FOREACH (name, names) {
		_cleanup_free_ char *path = NULL;
		char address[32];

		if (asprintf(&path, "bus/pci/slots/%s/address", *name) < 0)
			return -ENOMEM;
		r = attr_read(scanner->host->sys, path, address, sizeof(address));
		if (r == 0)
			r = add_slot(cache, *name, address);
		if (r < 0)
			return r;
	}
	cache->slot_names = STEAL(names);
	return 0;
}

const char *scan_cache_slot(const struct scanner *scanner, const char *device)
{
	const struct scan_cache *cache = scanner->cache;
	const char *dot = strrchr(device, '.');
	size_t n = dot ? (size_t)(dot - device) : 0;

	for (size_t i = 0; n && i < cache->n_slots; i++)
		if (strlen(cache->slots[i].address) == n &&
		    strncmp(cache->slots[i].address, device, n) == 0)
			return cache->slots[i].name;
	return NULL;
}

struct scan_seen *scan_cache_seen(struct scan_cache *cache, const char *name, bool make)
{
	struct scan_seen **found = tfind(&name, &cache->seen, compare_keys);
	struct scan_seen *seen;

	if (found || !make)
		return found ? *found : NULL;
	seen = calloc(1, sizeof(*seen));
	if (!seen)
		return NULL;
	seen->name = strdup(name);
	if (!seen->name || !tsearch(seen, &cache->seen, compare_keys)) {
		seen_free(seen);
		return NULL;
	}
	return seen;
}

void scan_cache_forget(struct scan_cache *cache, const char *name)
{
	struct scan_seen *seen = scan_cache_seen(cache, name, false);

	if (!seen)
		return;
	tdelete(seen, &cache->seen, compare_keys);
	seen_free(seen);
}

uint64_t scan_cache_next_round(struct scan_cache *cache)
{
	return ++cache->round;
}

uint64_t scan_cache_round(const struct scan_cache *cache)
{
	return cache->round;
}
