/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl graph: the host as a picture for Graphviz. IOMMUs are boxes around their groups, groups
 * boxes around their devices. From left to right lines lead from a bridge to what is below it, and
 * from a device to the lease that has it and to the reset that reaches it and others.
 */

#include "client/ctl/graph.h"
#include "client/ctl/names.h"
#include "client/ctl/picture.h"
#include "client/ctl/term.h"

#include <inttypes.h>

#define LABEL_MAX 40 /* characters of a model or label: the picture stays narrow */

void graph_put(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

/* A label: lines that are not empty, each cleaned, cut and escaped. */
static void put_label(FILE *out, const struct ctl *ctl, const char *const *lines, size_t n)
{
	bool first = true;

	fputc('"', out);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *clean = str_empty(lines[i]) ? NULL : term_clean(lines[i]);
		_cleanup_free_ char *cut = clean ? term_cut(ctl, clean, LABEL_MAX) : NULL;

		if (!cut)
			continue;
		if (!first)
			fputs("\\n", out);
		first = false;
		for (const char *c = cut; *c; c++) {
			if (*c == '"' || *c == '\\')
				fputc('\\', out);
			fputc(*c, out);
		}
	}
	fputc('"', out);
}

static const char *colour_of(const char *state)
{
	static const char *const colours[][2] = {
		{ "leased", "#d5f0d5" },    { "granted", "#b8e6b8" },	{ "withheld", "#e8e8e8" },
		{ "fenced", "#f6d9a8" },    { "preparing", "#fff3c4" }, { "draining", "#fff3c4" },
		{ "restoring", "#fff3c4" }, { "failed", "#f5b5b5" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
		if (streq(colours[i][0], state))
			return colours[i][1];
	return "#ffffff";
}

static bool is_bridge(json_object *devices, const char *path)
{
	for (size_t i = 0; i < json_object_array_length(devices); i++)
		if (streq(prop_string(json_object_array_get_idx(devices, i), "Parent"), path))
			return true;
	return false;
}

static void put_device(FILE *out, const struct ctl *ctl, const struct picture *picture,
		       json_object *devices, json_object *device)
{
	const char *path = prop_string(device, "Path"), *state = device_state(picture, device);
	const char *health = prop_string(device, "Health");
	_cleanup_free_ char *hardware = hardware_text(device), *node = NULL;
	const char *driver = prop_string(device, "Driver");
	bool broken = !str_empty(health) && !streq(health, "ok");
	const char *lines[] = { prop_string(device, "Name"),
				prop_string(device, "Model"),
				str_empty(prop_string(device, "Model")) ? hardware : "",
				str_empty(driver) ? "no driver" : driver,
				streq(state, "host") ? "" : state,
				broken ? health : "",
				NULL };

	if (prop_int(device, "NumaNode") >= 0 &&
	    asprintf(&node, "NUMA node %" PRId64, prop_int(device, "NumaNode")) >= 0)
		lines[6] = node;
	fputs("      ", out);
	graph_put(out, path);
	fputs(" [label=", out);
	put_label(out, ctl, lines, ARRAY_SIZE(lines));
	fprintf(out, ", fillcolor=\"%s\"%s];\n", broken ? "#f5b5b5" : colour_of(state),
		is_bridge(devices, path) ? ", style=\"filled,rounded\"" : "");
}

static void put_group(FILE *out, const struct ctl *ctl, const struct picture *picture,
		      json_object *devices, json_object *group)
{
	json_object *lease = picture_get(picture, prop_string(group, "Lease"), IFACE_LEASE);
	_cleanup_free_ char *title = NULL, *owner = lease ? owner_text(lease) : NULL;
	const char *state = prop_string(group, "State");
	const char *lines[] = { NULL, streq(state, "host") ? "" : state, owner };

	if (asprintf(&title, "group %" PRId64, prop_int(group, "Id")) < 0)
		title = NULL;
	lines[0] = title;
	fprintf(out, "    subgraph \"cluster_group_%" PRId64 "\" {\n      label=",
		prop_int(group, "Id"));
	put_label(out, ctl, lines, ARRAY_SIZE(lines));
	fprintf(out, "; style=filled; color=\"#888888\"; fillcolor=\"%s\";\n", colour_of(state));
	for (size_t i = 0; i < prop_length(group, "Devices"); i++) {
		json_object *device =
			picture_get(picture, prop_item(group, "Devices", i), IFACE_DEVICE);

		if (device)
			put_device(out, ctl, picture, devices, device);
	}
	fputs("    }\n", out);
}

/* One unit with its groups; NULL: what no unit is named for. */
static void put_iommu(FILE *out, const struct ctl *ctl, const struct picture *picture,
		      json_object *devices, json_object *groups, json_object *iommu)
{
	const char *path = iommu ? prop_string(iommu, "Path") : "/";
	const char *lines[] = { iommu ? prop_string(iommu, "Name") : "no IOMMU is named",
				iommu ? prop_string(iommu, "Driver") : "" };
	bool begun = false;

	for (size_t i = 0; i < json_object_array_length(groups); i++) {
		json_object *group = json_object_array_get_idx(groups, i);

		if (!streq(prop_string(group, "Iommu"), path))
			continue;
		if (!begun) {
			fputs("  subgraph ", out);
			fputs("\"cluster_iommu_", out);
			for (const char *c = lines[0]; *c; c++)
				fputc(*c == '"' || *c == '\\' ? '_' : *c, out);
			fputs("\" {\n    label=", out);
			put_label(out, ctl, lines, ARRAY_SIZE(lines));
			fputs("; fontsize=16; style=rounded; color=\"#4466aa\";\n", out);
			begun = true;
		}
		put_group(out, ctl, picture, devices, group);
	}
	if (begun) {
		fputs("  }\n", out);
	} else if (iommu) {
		fputs("  ", out);
		graph_put(out, path);
		fputs(" [label=", out);
		put_label(out, ctl, lines, ARRAY_SIZE(lines));
		fputs(", fontsize=16, style=rounded, color=\"#4466aa\"];\n", out);
	}
}

/* What is in no group stands outside. */
static void put_loose(FILE *out, const struct ctl *ctl, const struct picture *picture,
		      json_object *devices)
{
	for (size_t i = 0; i < json_object_array_length(devices); i++) {
		json_object *device = json_object_array_get_idx(devices, i);

		if (!picture_get(picture, prop_string(device, "Group"), IFACE_GROUP))
			put_device(out, ctl, picture, devices, device);
	}
}

static void put_edge(FILE *out, const char *from, const char *to, const char *attributes)
{
	fputs("  ", out);
	graph_put(out, from);
	fputs(" -> ", out);
	graph_put(out, to);
	fprintf(out, " [%s];\n", attributes);
}

static void put_bridges(FILE *out, const struct picture *picture, json_object *devices)
{
	for (size_t i = 0; i < json_object_array_length(devices); i++) {
		json_object *device = json_object_array_get_idx(devices, i);
		const char *parent = prop_string(device, "Parent");

		if (picture_get(picture, parent, IFACE_DEVICE))
			put_edge(out, parent, prop_string(device, "Path"), "color=\"#666666\"");
	}
}

static void put_leases(FILE *out, const struct ctl *ctl, const struct picture *picture,
		       json_object *leases)
{
	for (size_t i = 0; i < json_object_array_length(leases); i++) {
		json_object *lease = json_object_array_get_idx(leases, i);
		_cleanup_free_ char *owner = owner_text(lease);
		const char *path = prop_string(lease, "Path");
		const char *lines[] = { owner, prop_string(lease, "Mode"),
					prop_string(lease, "State") };

		fputs("  ", out);
		graph_put(out, path);
		fputs(" [label=", out);
		put_label(out, ctl, lines, ARRAY_SIZE(lines));
		fprintf(out, ", shape=ellipse, fillcolor=\"%s\"];\n",
			colour_of(prop_string(lease, "State")));
		for (size_t j = 0; j < prop_length(lease, "Devices"); j++) {
			const char *device = prop_item(lease, "Devices", j);
			_cleanup_free_ char *attributes = NULL;

			if (asprintf(&attributes,
				     "color=\"#228822\", penwidth=2, dir=none, fontsize=10, "
				     "label=\"%s\"",
				     picture_guest_address(lease,
							   picture_label(picture, device))) >= 0)
				put_edge(out, device, path, attributes);
		}
	}
}

/* ---- reset domains: asked for device by device, each drawn once */

static int add_domain(json_object *domains, json_object *domain)
{
	_cleanup_strv_ char **paths = NULL;
	_cleanup_free_ char *key = NULL;
	json_object *array;

	/* One that is reset alone needs no picture. */
	if (json_object_array_length(domain) < 2)
		return 0;
	for (size_t i = 0; i < json_object_array_length(domain); i++) {
		json_object *pair = json_object_array_get_idx(domain, i);

		if (strv_extend(&paths,
				json_object_get_string(json_object_array_get_idx(pair, 0))) < 0)
			return -ENOMEM;
	}
	strv_sort(paths);
	key = strv_join(paths, " ");
	if (!key)
		return -ENOMEM;
	if (json_object_object_get_ex(domains, key, NULL))
		return 0;
	array = json_object_new_array();
	if (!array || json_object_object_add(domains, key, array) < 0)
		return -ENOMEM;
	STRV_FOREACH (path, paths)
		if (json_object_array_add(array, json_object_new_string(*path)) < 0)
			return -ENOMEM;
	return 0;
}

/* Whether the inner one's devices are the outer one's as well, and not all of them. Both are
 * sorted. */
static bool is_part(json_object *inner, json_object *outer)
{
	size_t i = 0, n = json_object_array_length(inner), m = json_object_array_length(outer);

	for (size_t k = 0; n < m && i < n && k < m; k++)
		if (streq(json_object_get_string(json_object_array_get_idx(inner, i)),
			  json_object_get_string(json_object_array_get_idx(outer, k))))
			i++;
	return n < m && i == n;
}

static bool has_path(json_object *domain, const char *path)
{
	for (size_t i = 0; i < json_object_array_length(domain); i++)
		if (streq(json_object_get_string(json_object_array_get_idx(domain, i)), path))
			return true;
	return false;
}

/* Whether a domain (or a device, where there is a path) is in another one inside the outer one. */
static bool is_inside(json_object *all, json_object *outer, json_object *domain, const char *path)
{
	json_object_object_foreach (all, key, other) {
		(void)key;
		if (is_part(other, outer) &&
		    (path ? has_path(other, path) : is_part(domain, other)))
			return true;
	}
	return false;
}

static void put_reset_edge(FILE *out, const char *from, const char *to)
{
	put_edge(out, from, to, "style=dashed, color=\"#aa4444\", dir=none");
}

/* What a reset reaches: of those inside it the resets, so that no device has a line to each. */
static void put_reset_edges(FILE *out, json_object *domains, json_object *outer, const char *name)
{
	unsigned int n = 0;

	for (size_t i = 0; i < json_object_array_length(outer); i++) {
		const char *path = json_object_get_string(json_object_array_get_idx(outer, i));

		if (!is_inside(domains, outer, NULL, path))
			put_reset_edge(out, path, name);
	}
	json_object_object_foreach (domains, key, domain) {
		char inner[32];

		(void)key;
		snprintf(inner, sizeof(inner), "reset %u", ++n);
		if (is_part(domain, outer) && !is_inside(domains, outer, domain, NULL))
			put_reset_edge(out, inner, name);
	}
}

static void put_resets(FILE *out, json_object *domains)
{
	unsigned int n = 0;

	json_object_object_foreach (domains, key, domain) {
		char name[32];

		(void)key;
		snprintf(name, sizeof(name), "reset %u", ++n);
		fputs("  ", out);
		graph_put(out, name);
		fputs(" [label=\"reset\", shape=octagon, fontsize=10, color=\"#aa4444\", "
		      "fillcolor=\"#fbeaea\"];\n",
		      out);
		put_reset_edges(out, domains, domain, name);
	}
}

void graph_write(FILE *out, const struct ctl *ctl, const struct picture *picture,
		 json_object *domains)
{
	_cleanup_json_ json_object *iommus = picture_all(picture, IFACE_IOMMU),
				   *groups = picture_all(picture, IFACE_GROUP),
				   *devices = picture_all(picture, IFACE_DEVICE),
				   *leases = picture_all(picture, IFACE_LEASE);

	/* From left to right, so that many devices make a long picture and not a wide one. */
	fputs("digraph vfiod {\n"
	      "  graph [rankdir=LR, fontname=\"sans-serif\", fontsize=12, nodesep=0.15, "
	      "ranksep=1.2];\n"
	      "  node [shape=box, style=filled, fillcolor=\"#ffffff\", fontname=\"sans-serif\", "
	      "fontsize=11];\n"
	      "  edge [fontname=\"sans-serif\"];\n",
	      out);
	for (size_t i = 0; iommus && i < json_object_array_length(iommus); i++)
		put_iommu(out, ctl, picture, devices, groups, json_object_array_get_idx(iommus, i));
	put_iommu(out, ctl, picture, devices, groups, NULL);
	put_loose(out, ctl, picture, devices);
	put_bridges(out, picture, devices);
	put_leases(out, ctl, picture, leases);
	put_resets(out, domains);
	fputs("}\n", out);
}

int verb_graph(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS, {} };
	_cleanup_(picture_done) struct picture picture = {};
	_cleanup_json_ json_object *devices = NULL, *domains = NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = ctl_common_option(ctl, c, argv[0]);
		if (r >= 0)
			return r;
	}
	if (optind != argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	if (ctl->json != JSON_OFF)
		return ctl_say(EXIT_USAGE,
			       "A graph is no JSON; vfiodctl tree --json has the same.");
	r = picture_read(ctl, &picture);
	if (r != EXIT_OK)
		return r;
	devices = picture_all(&picture, IFACE_DEVICE);
	domains = json_object_new_object();
	if (!devices || !domains)
		return ctl_fail(NULL, -ENOMEM);
	r = picture_read_domains(ctl, devices);
	if (r != EXIT_OK)
		return r;
	for (size_t i = 0; r >= 0 && i < json_object_array_length(devices); i++) {
		json_object *domain;

		if (json_object_object_get_ex(json_object_array_get_idx(devices, i), "ResetDomain",
					      &domain))
			r = add_domain(domains, domain);
	}
	if (r < 0)
		return ctl_fail(NULL, r);
	graph_write(stdout, ctl, &picture, domains);
	return ferror(stdout) ? EXIT_FAILED : EXIT_OK;
}
