// SPDX-License-Identifier: GPL-2.0

#include <stdio.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include "dpdk.h"

/* Objects that each thread keeps for itself. */
#define CACHE 256

/* Without threads of its own: there would be one for each CPU. */
int dpdk_init(unsigned int cpu)
{
	char first[16];
	char *args[16] = {
		"bench", "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", "--no-shconf",
		"--log-level", "error", "-l", first
	};
	int count = 0;

	snprintf(first, sizeof(first), "%u", cpu);
	while (args[count])
		count++;

	return rte_eal_init(count, args);
}

/* Gives this thread a number, without which it has no cache. */
int dpdk_register(void)
{
	return rte_thread_register();
}

void dpdk_unregister(void)
{
	rte_thread_unregister();
}

struct rte_mempool *dpdk_create(unsigned int size, unsigned int count, unsigned int number)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "bench-%u", number);
	return rte_mempool_create(name, count, size, CACHE, 0, NULL, NULL, NULL, NULL,
				  SOCKET_ID_ANY, 0);
}

/* Returns whether all objects were free. */
int dpdk_destroy(struct rte_mempool *pool)
{
	int full = rte_mempool_full(pool);

	rte_mempool_free(pool);
	return full;
}

void *dpdk_alloc(struct rte_mempool *pool)
{
	void *object;

	return rte_mempool_get(pool, &object) ? NULL : object;
}

void dpdk_free(struct rte_mempool *pool, void *object)
{
	rte_mempool_put(pool, object);
}
