// SPDX-License-Identifier: GPL-2.0
/*
 * What the CPUs do with one pool. Each does it until nothing changes any more, all wait for each
 * other, and then it counts.
 *
 * What the workloads themselves look at, the blocks that they hold and the rings by which they pass
 * them on, is not part of the model, and neither are the contents of blocks.
 */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

/* Blocks that a CPU has at once if nothing else is said, and how often it changes all at first. */
#define BLOCKS	1024
#define WARM	8

/* Blocks on their way from a CPU to another one. */
#define RING	64

struct ring {
	struct block blocks[RING];
	unsigned int put;
	unsigned int taken;
};

struct workload {
	const char *name;
	size_t size;
	size_t align;
	size_t boundary;
	/* Do about @count pairs. */
	void (*work)(int cpu, int count);
};

static struct workload workload;
static int rounds;
static const struct pool_type *type;
static void *pool;
static struct block held[MAX_CPUS][BLOCKS];
static bool holds[MAX_CPUS][BLOCKS];
static struct ring rings[MAX_CPUS];
static int waiting;
static bool counting;
static unsigned long pairs;
/* Blocks that the CPUs have, and the most of these at once. */
static unsigned long live;
static unsigned long most_live;

static struct block alloc(void)
{
	struct block block = type->alloc(pool);

	if (!block.first)
		die("an allocation failed");
	pairs += counting;
	if (++live > most_live)
		most_live = live;
	return block;
}

static void free_block(struct block block)
{
	live--;
	type->free(pool, block);
}

static void fill(int cpu, int count)
{
	for (int i = 0; i < count; i++)
		held[cpu][i] = alloc();
}

/* Allocate all, free them in the same order. */
static void row(int cpu, int count)
{
	for (int done = 0; done < count; done += BLOCKS) {
		fill(cpu, BLOCKS);
		for (int i = 0; i < BLOCKS; i++)
			free_block(held[cpu][i]);
	}
}

static void lifo(int cpu, int count)
{
	(void)cpu;
	for (int i = 0; i < count; i++)
		free_block(alloc());
}

/* Allocate 64, free the last one first. */
static void batches(int cpu, int count)
{
	for (int done = 0; done < count; done += 64) {
		fill(cpu, 64);
		for (int i = 64; i-- > 0;)
			free_block(held[cpu][i]);
	}
}

static void random_free(int cpu, int count)
{
	for (int done = 0; done < count; done += BLOCKS) {
		fill(cpu, BLOCKS);
		for (int i = BLOCKS; i-- > 0;) {
			int other = random_below(i + 1);
			struct block block = held[cpu][other];

			held[cpu][other] = held[cpu][i];
			free_block(block);
		}
	}
}

/* Free one at random or allocate one, so that of so many there are about @percent. */
static void churn(int cpu, int count, int percent)
{
	for (int done = 0; done < count;) {
		int i = random_below(BLOCKS);
		bool hold = (int)random_below(100) < percent;

		if (hold && !holds[cpu][i]) {
			held[cpu][i] = alloc();
			done++;
		}
		if (!hold && holds[cpu][i])
			free_block(held[cpu][i]);
		holds[cpu][i] = hold;
	}
}

static void churn_50(int cpu, int count)
{
	churn(cpu, count, 50);
}

static void churn_90(int cpu, int count)
{
	churn(cpu, count, 90);
}

/* Move between a half and nine tenths. */
static void churn_waves(int cpu, int count)
{
	for (int done = 0; done < count; done += BLOCKS / 2) {
		churn(cpu, BLOCKS / 4, 50);
		churn(cpu, BLOCKS / 4, 90);
	}
}

static void put(struct ring *ring, struct block block)
{
	while (ring->put - ring->taken == RING)
		cpu_sleep(&ring->taken);
	ring->blocks[ring->put++ % RING] = block;
	cpu_wake_all(&ring->put);
}

static void free_next(struct ring *ring)
{
	struct block block;

	while (ring->put == ring->taken)
		cpu_sleep(&ring->put);
	block = ring->blocks[ring->taken++ % RING];
	cpu_wake_all(&ring->taken);
	free_block(block);
}

/* Wait until a place in a ring has been gone on to. */
static void wait_for(const unsigned int *place, unsigned int until)
{
	while ((int)(until - *place) > 0)
		cpu_sleep(place);
}

/* Have any of the blocks in the ring be the one that is freed next. */
static void shuffle(struct ring *ring)
{
	unsigned int other = ring->taken + random_below(ring->put - ring->taken);
	struct block block = ring->blocks[other % RING];

	ring->blocks[other % RING] = ring->blocks[ring->taken % RING];
	ring->blocks[ring->taken % RING] = block;
}

/* Each CPU with an even number allocates for the next one. */
static void hand_over(int cpu, int count)
{
	for (int i = 0; i < count; i++) {
		if (cpu % 2 == 0)
			put(&rings[cpu], alloc());
		else
			free_next(&rings[cpu - 1]);
	}
}

/* All allocate, and the first CPU frees. */
static void many_to_one(int cpu, int count)
{
	for (int i = 0; i < count; i++) {
		if (cpu)
			put(&rings[cpu], alloc());
		for (int other = 1; !cpu && other < nr_cpus; other++)
			free_next(&rings[other]);
	}
}

/* The first CPU allocates, and all others free. */
static void one_to_many(int cpu, int count)
{
	for (int i = 0; i < count; i++) {
		if (cpu)
			free_next(&rings[cpu]);
		for (int other = 1; !cpu && other < nr_cpus; other++)
			put(&rings[other], alloc());
	}
}

static int minimum(int a, int b)
{
	return a < b ? a : b;
}

/*
 * As hand_over(), but in any order, and now far ahead and now close behind: who finds the ring full
 * or empty waits until the other one has done more than a block.
 */
static void exchange(int cpu, int count)
{
	struct ring *ring = &rings[cpu & ~1];

	for (int left = count; left > 0; left--) {
		unsigned int some = minimum(1 + random_below(RING), left);

		if (cpu % 2 == 0) {
			while (ring->put - ring->taken == RING)
				wait_for(&ring->taken, ring->taken + some);
			put(ring, alloc());
		} else {
			while (ring->put == ring->taken)
				wait_for(&ring->put, ring->put + some);
			shuffle(ring);
			free_next(ring);
		}
	}
}

static const struct workload workloads[] = {
	{ "row-16", 16, 16, 0, row },
	{ "row-64", 64, 64, 0, row },
	{ "row-256", 256, 256, 0, row },
	{ "row-1024", 1024, 1024, 0, row },
	{ "row-4096", 4096, 4096, 0, row },
	{ "row-68", 68, 32, 4096, row },
	{ "lifo", 64, 64, 0, lifo },
	{ "batches", 64, 64, 0, batches },
	{ "random-free", 64, 64, 0, random_free },
	{ "churn-50", 64, 64, 0, churn_50 },
	{ "churn-90", 64, 64, 0, churn_90 },
	{ "churn-50-90", 64, 64, 0, churn_waves },
	{ "hand-over", 64, 64, 0, hand_over },
	{ "exchange", 64, 64, 0, exchange },
	{ "many-to-one", 64, 64, 0, many_to_one },
	{ "one-to-many", 64, 64, 0, one_to_many },
};

/* All CPUs come here, and the last one begins to count. */
static void begin_to_count(void)
{
	if (++waiting < nr_cpus) {
		cpu_sleep(&waiting);
		return;
	}
	counting = true;
	cache_count();
	cpu_wake_all(&waiting);
}

static void body(int cpu)
{
	workload.work(cpu, WARM * BLOCKS);
	begin_to_count();
	workload.work(cpu, rounds * BLOCKS);
}

unsigned long workload_run(const struct pool_type *pool_type, const char *name, int cpus,
			   unsigned long seed, size_t size, int nr_rounds)
{
	for (size_t i = 0; i < ARRAY_SIZE(workloads); i++) {
		if (!strcmp(workloads[i].name, name))
			workload = workloads[i];
	}
	if (!workload.name)
		die("there is no such workload");
	if (size) {
		workload.size = size;
		workload.align = 1;
	}
	rounds = nr_rounds;
	nr_cpus = cpus;
	type = pool_type;
	pool = type->create(workload.size, workload.align, workload.boundary);
	cpus_run(cpus, seed, body);
	return pairs;
}

size_t workload_needed(void)
{
	/* No workload has blocks that are larger than a page of the system. */
	size_t stride = (workload.size + workload.align - 1) / workload.align * workload.align;
	size_t page = PAGE;
	size_t blocks = page / stride;

	return (most_live + blocks - 1) / blocks * page;
}
