// SPDX-License-Identifier: GPL-2.0
/*
 * Usage: lines POOL WORKLOAD CPUS SEED [--sites] [--size BYTES] [--rounds N]
 *
 * Print as CSV what was asked for, and then pairs of an allocation and a free; reads, writes,
 * upgrades, first, accesses, as caches.c has them; bytes of objects and of pages; and the bytes of
 * pages that as many blocks fill as were live at once, at the most. --sites: and which places in
 * the code have moved how many lines a pair. --size: of blocks, in place of the workload's own.
 * --rounds: how many are counted.
 */
#include "lines.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct pool_type types[] = {
	{ "c", c_pool_create, c_pool_alloc, c_pool_free },
	{ "rust", rust_pool_create, rust_pool_alloc, rust_pool_free },
	{ "by-c", by_c_pool_create, by_c_pool_alloc, by_c_pool_free },
};

void die(const char *message)
{
	fprintf(stderr, "error: %s\n", message);
	exit(1);
}

static const struct pool_type *type_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!strcmp(types[i].name, name))
			return &types[i];
	}
	die("there is no such pool");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "sites", no_argument, NULL, 's' },
		{ "size", required_argument, NULL, 'b' },
		{ "rounds", required_argument, NULL, 'r' },
		{ }
	};
	size_t size = 0;
	int rounds = ROUNDS;
	bool sites = false;
	unsigned long pairs;
	int option, cpus;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			sites = true;
			break;
		case 'b':
			size = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			rounds = atoi(optarg);
			break;
		default:
			return 1;
		}
	}
	argv += optind;
	cpus = argc - optind == 4 ? atoi(argv[2]) : 0;
	if (cpus < 1 || cpus > MAX_CPUS)
		die("POOL WORKLOAD CPUS SEED, with at most 64 CPUs");
	heap_init();
	pairs = workload_run(type_of(argv[0]), argv[1], cpus, strtoull(argv[3], NULL, 0), size,
			     rounds);
	printf("%s,%s,%d,%s,%lu,", argv[0], argv[1], cpus, argv[3], pairs);
	cache_print();
	printf(",%zu,%zu,%zu\n", heap_objects, heap_pages, workload_needed());
	if (sites)
		cache_print_sites(pairs);
	return 0;
}
