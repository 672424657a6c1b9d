/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What can be told from a journal that cannot be understood. */

#include "daemon/lease/journal.h"

#include <stdio.h>

int journal_read_groups(const char *text, struct lease *lease)
{
	const char *p = strstr(text, "\"groups\""), *end;

	p = p ? strchr(p, '[') : NULL;
	end = p ? strchr(p, ']') : NULL;
	if (!end)
		return -EBADMSG;
	while ((p = strstr(p, "\"id\"")) && p < end) {
		unsigned long long id;
		int r;

		if (sscanf(p + 4, " : %llu", &id) != 1 || id >= ID_UNKNOWN)
			return -EBADMSG;
		r = lease_add_group(lease, (uint32_t)id, 0);
		if (r < 0)
			return r;
		p += 4;
	}
	return lease->n_groups ? 0 : -EBADMSG;
}
