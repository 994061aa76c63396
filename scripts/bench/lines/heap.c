// SPDX-License-Identifier: GPL-2.0
/*
 * Memory, placed as kmalloc() and the page allocator do: objects of one size class side by side,
 * pages on their own. It is not part of what is modelled: allocating moves no lines here.
 */
#include "lines.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE	4096
#define START	((char *)(1UL << 40))
#define SIZE	(HEAP_LINES * LINE)

static const size_t classes[] = { 8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192 };

#define CLASSES	ARRAY_SIZE(classes)

struct free_object {
	struct free_object *next;
};

static struct free_object *free_objects[CLASSES];
/* For each page: the first one of what was allocated with it, and the size of its objects. */
static struct {
	unsigned int first;
	unsigned int object;
} pages[SIZE / PAGE];
static size_t used;

size_t heap_objects;
size_t heap_pages;

void heap_init(void)
{
	if (mmap(START, SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != START)
		die("no memory for the heap");
}

ptrdiff_t heap_line(const void *address)
{
	size_t offset = (uintptr_t)address - (uintptr_t)START;

	return offset < SIZE ? (ptrdiff_t)(offset / LINE) : -1;
}

const void *heap_object(const void *address, size_t *size)
{
	size_t offset = (uintptr_t)address - (uintptr_t)START, page = offset / PAGE;
	const char *first;

	if (offset >= SIZE || !pages[page].object)
		return NULL;
	first = START + (size_t)pages[page].first * PAGE;
	*size = pages[page].object;
	return first + ((const char *)address - first) / *size * *size;
}

static char *new_pages(size_t size, size_t object)
{
	size_t count = (size + PAGE - 1) / PAGE, first = used;

	/* Aligned as the page allocator does. */
	while (first & (count - 1) && !(count & (count - 1)))
		first++;
	used = first + count;
	if (used * PAGE > SIZE)
		die("the heap is full");
	for (size_t i = first; i < used; i++) {
		pages[i].first = first;
		pages[i].object = object;
	}
	return START + first * PAGE;
}

static size_t class_of(size_t size)
{
	for (size_t i = 0; i < CLASSES; i++) {
		if (size <= classes[i])
			return i;
	}
	die("an object is too large for the heap");
}

static void put_object(size_t class, void *start)
{
	struct free_object *object = start;

	object->next = free_objects[class];
	free_objects[class] = object;
}

void *heap_alloc(size_t size)
{
	size_t class = class_of(size), object = classes[class];
	struct free_object *first;

	if (!free_objects[class]) {
		size_t slab = object < PAGE ? PAGE : object;
		char *start = new_pages(slab, object);

		/* The last one first: they are allocated in the order of their addresses. */
		for (size_t i = slab / object; i-- > 0;)
			put_object(class, start + i * object);
	}
	first = free_objects[class];
	free_objects[class] = first->next;
	heap_objects += object;
	return memset(first, 0, object);
}

void *heap_calloc(size_t count, size_t size)
{
	return heap_alloc(count * size);
}

void heap_free(void *start)
{
	size_t size = 0;

	heap_object(start, &size);
	heap_objects -= size;
	put_object(class_of(size), start);
}

void *heap_alloc_pages(size_t size)
{
	heap_pages += size;
	return memset(new_pages(size, size), 0, size);
}

/* No workload wants pages again that were given back. */
void heap_free_pages(void *start)
{
	size_t size = 0;

	heap_object(start, &size);
	heap_pages -= size;
}
