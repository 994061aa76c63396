// SPDX-License-Identifier: GPL-2.0
/*
 * Memory, placed as kmalloc() and the page allocator do: objects of one size class side by side,
 * pages for DMA anywhere. It is not part of what is modelled: allocating moves no lines here.
 */
#include "lines.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define START	((char *)(1UL << 40))
#define SIZE	(HEAP_LINES * LINE)
#define PAGES	(SIZE / PAGE)
#define OBJECT_PAGES	(PAGES / 8)

static const size_t classes[] = {
	8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536,
	131072, 262144, 524288, 1048576,
};

#define CLASSES	ARRAY_SIZE(classes)

struct free_object {
	struct free_object *next;
};

static struct free_object *free_objects[CLASSES];
/* For each page: the first one of what was allocated with it, and the size of its objects. */
static struct {
	unsigned int first;
	unsigned int object;
} pages[PAGES];
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

static char *take_pages(size_t first, size_t count, size_t object)
{
	for (size_t i = first; i < first + count; i++) {
		pages[i].first = first;
		pages[i].object = object;
	}
	return START + first * PAGE;
}

/* For objects: one after the other, from the beginning of the heap. */
static char *next_pages(size_t size, size_t object)
{
	size_t first = used;

	used += size / PAGE;
	if (used > OBJECT_PAGES)
		die("the heap is full");
	return take_pages(first, size / PAGE, object);
}

/* For DMA: anywhere in the rest, aligned as the page allocator does. */
static char *any_pages(size_t size)
{
	size_t count = (size + PAGE - 1) / PAGE, align = 1, first;
	bool taken;

	while (align < count)
		align *= 2;
	do {
		first = OBJECT_PAGES + align * random_below((PAGES - OBJECT_PAGES) / align);
		taken = false;
		for (size_t i = first; i < first + count; i++)
			taken |= pages[i].object;
	} while (taken);
	return take_pages(first, count, size);
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
		char *start = next_pages(slab, object);

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
	return memset(any_pages(size), 0, size);
}

/* No workload wants pages again that were given back. */
void heap_free_pages(void *start)
{
	size_t size = 0;

	heap_object(start, &size);
	heap_pages -= size;
}
