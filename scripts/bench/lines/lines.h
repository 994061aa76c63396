/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model of CPUs and their caches, in which pools run: how the parts know each other.
 *
 * Code that is compiled with -fsanitize=thread says of each access to memory what it accesses.
 * tsan.c takes that up in place of ThreadSanitizer: it lets another CPU go on now and then, and has
 * the caches note who has which line.
 */
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

#define LINE		64
/* A page of the system. */
#define PAGE		4096
#define MAX_CPUS	64

/* cpus.c: the CPUs, of which one runs at a time. */

/* The CPU that runs, or -1 if none does: what is done then is not modelled. */
extern int this_cpu;
extern int nr_cpus;

void cpus_run(int count, unsigned long seed, void (*body)(int cpu));

/* Let a CPU go on that is chosen at random; it may be this one. */
void cpu_switch(void);

/* Wait until somebody calls cpu_wake() with the same key. It costs nothing in the model. */
void cpu_sleep(const void *key);
/* Wake who has waited longest, and return whether there was one. */
bool cpu_wake(const void *key);
void cpu_wake_all(const void *key);

/* Go on alone, and let the next one go on. */
void cpu_queue(void);
void cpu_leave_queue(void);

/* Whether an address is in some CPU's stack, where no other CPU looks. */
bool cpu_stack_has(const void *address);

unsigned int random_below(unsigned int limit);

/* caches.c: who has which line. */

/* @site is where in the code the access is. */
void cache_access(const void *address, size_t size, bool write, const void *site);
/* Count from now on, from zero. */
void cache_count(void);
/* Print what was counted, as CSV. */
void cache_print(void);
/* Print which places in the code have moved how many lines a pair, and of which objects. */
void cache_print_sites(unsigned long pairs);

/* heap.c: memory as the kernel's allocators would place it, at the same addresses in each run. */

void heap_init(void);
void *heap_alloc(size_t size);
void *heap_calloc(size_t count, size_t size);
void heap_free(void *start);
void *heap_alloc_pages(size_t size);
void heap_free_pages(void *start);
/* The number of the line in the heap, or -1. */
ptrdiff_t heap_line(const void *address);
/* The object in which an address is, and its size. */
const void *heap_object(const void *address, size_t *size);
/* How many bytes are allocated: of objects, and of pages. */
extern size_t heap_objects;
extern size_t heap_pages;

#define HEAP_LINES	((size_t)1 << 24)

/* workloads.c: what the CPUs do. */

/* What a pool knows a block by: two words, which mean something to this pool only. */
struct block {
	void *first;
	unsigned long second;
};

struct pool_type {
	const char *name;
	void *(*create)(size_t size, size_t align, size_t boundary);
	struct block (*alloc)(void *pool);
	void (*free)(void *pool, struct block block);
};

/* How many rounds are counted if nothing else is asked for. */
#define ROUNDS	4

/*
 * Run the workload of that name, and return how many pairs of an allocation and a free it had.
 * @size is that of blocks, or 0 for what the workload has.
 */
unsigned long workload_run(const struct pool_type *type, const char *name, int cpus,
			   unsigned long seed, size_t size, int rounds);
/* The bytes of pages that are filled by as many blocks as were live at once, at the most. */
size_t workload_needed(void);

/* c_pool.c and pool.rs: the pools. */

void *c_pool_create(size_t size, size_t align, size_t boundary);
struct block c_pool_alloc(void *pool);
void c_pool_free(void *pool, struct block block);

void *rust_pool_create(size_t size, size_t align, size_t boundary);
struct block rust_pool_alloc(void *pool);
void rust_pool_free(void *pool, struct block block);

/* The same pool by its interface for C, which knows a block by its addresses. */
void *by_c_pool_create(size_t size, size_t align, size_t boundary);
struct block by_c_pool_alloc(void *pool);
void by_c_pool_free(void *pool, struct block block);

noreturn void die(const char *message);

#endif
