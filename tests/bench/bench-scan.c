/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How long the event loop is away for a scan, by the number of devices (first argument, 5000 if
 * none) of a mocked host in $TMPDIR: first scan, a rescan that finds nothing new, the reading of
 * one device after its event, and the removal of everything. sysfs itself is slower to look up
 * and faster to read than a file system; the order of magnitude is the same.
 */

#include "daemon/sysfs/scan.h"
#include "tests/mock/mock-host.h"

#include <stdio.h>
#include <time.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1000 + (double)ts.tv_nsec / 1e6;
}

static char *name_of(int i)
{
	return mock_asprintf("%04x:%02x:%02x.%x", i >> 12, i >> 4 & 0xff, i >> 3 & 1, i & 7);
}

static void add_devices(struct mock_host *mock, int n)
{
	mock_iommu_add(mock, "dmar0", "intel-iommu");
	mock_driver_add(mock, "pci", "e1000e", "id 8086:10d3\n");
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *name = name_of(i);

		mock_pci_add(mock, name, .vendor = 0x8086, .device = 0x10d3, .group = i / 2 + 1,
			     .iommu = "dmar0", .driver = "e1000e", .class_code = 0x020000,
			     .reset = "flr bus");
	}
}

static int report(const char *what, double begin, int n, int r)
{
	double took = now() - begin;

	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(-r));
		return r;
	}
	printf("%-28s %9.1f ms %9.1f us each\n", what, took, took * 1000 / n);
	return 0;
}

static int measure(struct mock_host *mock, struct scanner *scanner, int n)
{
	double begin = now();
	int r = report("first scan", begin, n, scan_all(scanner));

	if (r < 0)
		return r;
	begin = now();
	r = report("rescan, nothing new", begin, n, scan_all(scanner));
	if (r < 0)
		return r;
	begin = now();
	for (int i = 0; i < n && r >= 0; i++) {
		_cleanup_free_ char *name = name_of(i);

		r = scan_one(scanner, "pci", name);
	}
	r = report("an event for each", begin, n, r);
	if (r < 0)
		return r;
	tree_remove(mock->fd, "sys/bus/pci/devices");
	tree_remove(mock->fd, "sys/kernel/iommu_groups");
	begin = now();
	return report("all gone", begin, n, scan_all(scanner));
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 5000;
	struct mock_host *mock = mock_host_new();
	struct topology topology;
	struct host host;
	struct scanner scanner = { .host = &host, .topology = &topology };
	int r;

	if (n < 1 || n > 65536)
		return EXIT_FAILURE;
	topology_init(&topology);
	mock_host_open(mock, &host);
	add_devices(mock, n);
	printf("%d devices in %d groups\n", n, (n + 1) / 2);
	r = measure(mock, &scanner, n);
	scanner_done(&scanner);
	topology_done(&topology);
	host_close(&host);
	mock_host_free(mock);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
