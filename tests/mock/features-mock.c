/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* In place of daemon/vfio/features.c: the words of the mocked host's files. */

#include "daemon/vfio/features.h"

#include "tests/mock/tree.h"

#include <fcntl.h>
#include <stdio.h>

void features_read(const struct host *host, struct host_features *features)
{
	_cleanup_close_ int root = openat(host->sys, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = root < 0 ? NULL : tree_read(root, "features");

	*features = (struct host_features){
		.group = text && strstr(text, "group"),
		.iommufd = text && strstr(text, "iommufd"),
		.cdev = text && strstr(text, "cdev"),
	};
}

void features_release(const struct host *host, char release[static FEATURES_RELEASE_SIZE])
{
	_cleanup_close_ int root = openat(host->sys, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = root < 0 ? NULL : tree_read(root, "release");

	snprintf(release, FEATURES_RELEASE_SIZE, "%s", text ?: "6.12.0-mock");
}
