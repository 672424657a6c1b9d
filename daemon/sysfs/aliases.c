/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of aliases.h. */

#include "daemon/sysfs/aliases.h"

#include "daemon/sysfs/attr.h"

#include <fnmatch.h>
#include <stdio.h>

#define PREFIX "vfio_pci:"
/* What is read of a file at most: modules.alias of a big distribution kernel has 2 MiB. */
#define FILE_MAX    (64 * 1024 * 1024)
#define ALIASES_MAX 4096

struct alias {
	char *pattern; /* v000015B3d0000101Esv*sd*bc*sc*i*, without the prefix */
	char *driver;
	unsigned int wildcards;
};

struct vfio_aliases {
	struct alias *items;
	size_t n;
};

struct vfio_aliases *vfio_aliases_free(struct vfio_aliases *aliases)
{
	if (!aliases)
		return NULL;
	for (size_t i = 0; i < aliases->n; i++) {
		free(aliases->items[i].pattern);
		free(aliases->items[i].driver);
	}
	free(aliases->items);
	free(aliases);
	return NULL;
}

static int add(struct vfio_aliases *aliases, const char *pattern, const char *module)
{
	struct alias *alias;

	if (!attr_name_valid(module) || aliases->n >= ALIASES_MAX)
		return 0;
	if (ARRAY_RESERVE_ONE(aliases->items, aliases->n) < 0)
		return -ENOMEM;
	alias = &aliases->items[aliases->n++];
	alias->pattern = strdup(pattern);
	/* The module is named with an underscore; variants have their module's name. */
	alias->driver = strdup(streq(module, "vfio_pci") ? "vfio-pci" : module);
	if (!alias->pattern || !alias->driver)
		return -ENOMEM;
	for (const char *p = pattern; *p; p++)
		alias->wildcards += *p == '*' || *p == '?' || *p == '[';
	return 0;
}

/* "alias PATTERN MODULE" */
static int parse_alias(struct vfio_aliases *aliases, char *line)
{
	char *save = NULL, *word, *pattern, *module;

	word = strtok_r(line, " \t\n", &save);
	if (!word || !streq(word, "alias"))
		return 0;
	pattern = strtok_r(NULL, " \t\n", &save);
	module = strtok_r(NULL, " \t\n", &save);
	if (!pattern || !module || strncmp(pattern, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	return add(aliases, pattern + strlen(PREFIX), module);
}

/* "MODULE.alias=PATTERN", each ended by NUL */
static int parse_modinfo(struct vfio_aliases *aliases, char *entry)
{
	char *mark = strstr(entry, ".alias=" PREFIX);

	if (!mark)
		return 0;
	*mark = 0;
	return add(aliases, mark + strlen(".alias=" PREFIX), entry);
}

static int read_entries(int modules, const char *file, int delimiter, struct vfio_aliases *aliases,
			int (*parse)(struct vfio_aliases *aliases, char *text))
{
	_cleanup_fclose_ FILE *stream = attr_fopen(modules, file);
	_cleanup_free_ char *text = NULL;
	size_t room = 0, total = 0;
	ssize_t n;
	int r;

	if (!stream)
		return errno == ENOMEM || errno == EMFILE || errno == ENFILE ? -errno : 0;
	while (total < FILE_MAX && (n = getdelim(&text, &room, delimiter, stream)) >= 0) {
		total += (size_t)n;
		r = parse(aliases, text);
		if (r < 0)
			return r;
	}
	return 0;
}

int vfio_aliases_read(int modules, struct vfio_aliases **ret)
{
	_cleanup_(vfio_aliases_freep) struct vfio_aliases *aliases = calloc(1, sizeof(*aliases));
	int r = 0;

	if (!aliases)
		return -ENOMEM;
	if (modules > 0)
		r = read_entries(modules, "modules.alias", '\n', aliases, parse_alias);
	if (modules > 0 && r >= 0)
		r = read_entries(modules, "modules.builtin.modinfo", 0, aliases, parse_modinfo);
	if (r < 0)
		return r;
	*ret = STEAL(aliases);
	return 0;
}

const char *vfio_aliases_match(const struct vfio_aliases *aliases, const char *modalias)
{
	const struct alias *best = NULL;

	if (strncmp(modalias, "pci:", 4) != 0)
		return NULL;
	/* The same but for the prefix. */
	for (size_t i = 0; i < aliases->n; i++) {
		const struct alias *alias = &aliases->items[i];

		if (best && alias->wildcards >= best->wildcards)
			continue;
		if (fnmatch(alias->pattern, modalias + 4, 0) == 0)
			best = alias;
	}
	return best ? best->driver : NULL;
}
