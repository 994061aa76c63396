// SPDX-License-Identifier: GPL-2.0
/*
 * One cache a CPU, large enough for everything, and a protocol as MESI: a line that is written to
 * is in one cache only, a line that is only read may be in all. So who has a line says all: one CPU
 * has it for itself, and several share it.
 */
#include "lines.h"

#include <stdio.h>
#include <stdlib.h>

/* The program itself, for variables that are static. */
extern char __executable_start[], _end[];

struct counts {
	unsigned long accesses;
	/* Lines that came from another CPU's cache: to be read, to be written to. */
	unsigned long reads;
	unsigned long writes;
	/* Lines that this CPU had, but not for itself: others had to drop them. */
	unsigned long upgrades;
	/* Lines that nobody had. */
	unsigned long first;
	/* Accesses to memory of which the model knows nothing. */
	unsigned long unknown;
};

/* A place in the code that moves lines, and where in which sort of object they are. */
struct site {
	const void *code;
	size_t size;
	size_t offset;
	unsigned long moves;
};

#define SITES	4096

static unsigned long heap_has[HEAP_LINES];
static unsigned long *image_has;
static struct counts counts;
static struct site sites[SITES];
static bool counting;

/* The CPUs that have a line, as a mask. NULL if the model does not know that memory. */
static unsigned long *who_has(uintptr_t address)
{
	uintptr_t start = (uintptr_t)__executable_start / LINE;
	ptrdiff_t line = heap_line((void *)address);

	if (line >= 0)
		return &heap_has[line];
	if (address < (uintptr_t)__executable_start || address >= (uintptr_t)_end)
		return NULL;
	if (!image_has) {
		image_has = calloc((uintptr_t)_end / LINE - start + 1, sizeof(*image_has));
		if (!image_has)
			die("no memory for the lines of the program");
	}
	return &image_has[address / LINE - start];
}

static void note_site(uintptr_t address, const void *code)
{
	const void *object = (void *)(address / LINE * LINE);
	size_t size = 0, offset, i;
	const void *start = heap_object((void *)address, &size);

	if (start)
		object = start;
	offset = address - (uintptr_t)object;
	/* A block is as good as the next, and so is an entry of an array. */
	if (size > 1024)
		offset = address % LINE;
	i = ((uintptr_t)code * 31 + size * 7 + offset) % SITES;
	while (sites[i].code &&
	       (sites[i].code != code || sites[i].size != size || sites[i].offset != offset))
		i = (i + 1) % SITES;
	sites[i] = (struct site){ code, size, offset, sites[i].moves + 1 };
}

static void access_line(uintptr_t address, bool write, const void *code)
{
	unsigned long me = 1UL << this_cpu, *has = who_has(address);
	unsigned long before;

	if (!has) {
		counts.unknown++;
		return;
	}
	before = *has;
	*has = write ? me : before | me;
	if (before == me || (!write && before & me))
		return;
	if (!before)
		counts.first++;
	else if (!write)
		counts.reads++;
	else if (before & me)
		counts.upgrades++;
	else
		counts.writes++;
	if (before && counting)
		note_site(address, code);
}

void cache_access(const void *address, size_t size, bool write, const void *site)
{
	uintptr_t first = (uintptr_t)address, last = first + size - 1;

	counts.accesses++;
	access_line(first, write, site);
	for (uintptr_t line = first / LINE + 1; line <= last / LINE; line++)
		access_line(line * LINE, write, site);
}

void cache_count(void)
{
	counts = (struct counts){ 0 };
	counting = true;
}

void cache_print(void)
{
	if (counts.unknown)
		die("the pool has accessed memory of which the model knows nothing");
	printf("%lu,%lu,%lu,%lu,%lu", counts.reads, counts.writes, counts.upgrades, counts.first,
	       counts.accesses);
}

static int more_moves(const void *a, const void *b)
{
	const struct site *one = a, *other = b;

	return (one->moves < other->moves) - (one->moves > other->moves);
}

void cache_print_sites(unsigned long pairs)
{
	qsort(sites, SITES, sizeof(sites[0]), more_moves);
	for (int i = 0; i < SITES && sites[i].moves; i++)
		printf("%.4f %p %zu+%zu\n", (double)sites[i].moves / pairs, sites[i].code,
		       sites[i].size, sites[i].offset);
}
