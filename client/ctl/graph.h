/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The host as text for Graphviz.
 */

#include "client/ctl/picture.h"

/* A string in quotes, as Graphviz wants it. */
void graph_put(FILE *out, const char *text);
/*
 * Writes the graph of a picture. domains: an object whose members are arrays with the paths of the
 * devices that are reset together, sorted.
 */
void graph_write(FILE *out, const struct ctl *ctl, const struct picture *picture,
		 json_object *domains);
