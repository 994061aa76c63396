// SPDX-License-Identifier: GPL-2.0
/*
 * Usage: lines POOL WORKLOAD CPUS SEED [--sites]
 *
 * Print as CSV what was asked for, and then pairs of an allocation and a free; reads, writes,
 * upgrades, first, accesses, as caches.c has them; bytes of objects and of pages. --sites: and
 * which places in the code have moved how many lines a pair.
 */
#include "lines.h"

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
	int cpus = argc > 3 ? atoi(argv[3]) : 0;
	unsigned long pairs;

	if (argc < 5 || cpus < 1 || cpus > MAX_CPUS)
		die("POOL WORKLOAD CPUS SEED, with at most 64 CPUs");
	heap_init();
	pairs = workload_run(type_of(argv[1]), argv[2], cpus, strtoull(argv[4], NULL, 0));
	printf("%s,%s,%d,%s,%lu,", argv[1], argv[2], cpus, argv[4], pairs);
	cache_print();
	printf(",%zu,%zu\n", heap_objects, heap_pages);
	if (argc > 5)
		cache_print_sites(pairs);
	return 0;
}
