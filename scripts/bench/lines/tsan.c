// SPDX-License-Identifier: GPL-2.0
/*
 * What code that is compiled with -fsanitize=thread calls, in place of ThreadSanitizer itself.
 *
 * Before each access, another CPU may go on. Then the access is one step, with what it does to the
 * caches. So memory is sequentially consistent; what weaker orders do is the business of
 * scripts/check/loom.
 */
#include "lines.h"

#include <string.h>

static void step(const void *address, size_t size, bool write, const void *site)
{
	if (this_cpu < 0 || !size || cpu_stack_has(address))
		return;
	cpu_switch();
	cache_access(address, size, write, site);
}

#define READ(address, size)	step(address, size, false, __builtin_return_address(0))
#define WRITE(address, size)	step(address, size, true, __builtin_return_address(0))

#define DEFINE_READ(name, size)			\
	void __tsan_##name(void *address)	\
	{					\
		READ(address, size);		\
	}

#define DEFINE_WRITE(name, size)		\
	void __tsan_##name(void *address)	\
	{					\
		WRITE(address, size);		\
	}

DEFINE_READ(read1, 1)
DEFINE_READ(read2, 2)
DEFINE_READ(read4, 4)
DEFINE_READ(read8, 8)
DEFINE_READ(read16, 16)
DEFINE_READ(unaligned_read2, 2)
DEFINE_READ(unaligned_read4, 4)
DEFINE_READ(unaligned_read8, 8)
DEFINE_READ(unaligned_read16, 16)
DEFINE_WRITE(write1, 1)
DEFINE_WRITE(write2, 2)
DEFINE_WRITE(write4, 4)
DEFINE_WRITE(write8, 8)
DEFINE_WRITE(write16, 16)
DEFINE_WRITE(unaligned_write2, 2)
DEFINE_WRITE(unaligned_write4, 4)
DEFINE_WRITE(unaligned_write8, 8)
DEFINE_WRITE(unaligned_write16, 16)

#define ORDER	__ATOMIC_SEQ_CST

/* One that fails takes the line, too: it is a locked instruction all the same. */
#define DEFINE_ATOMIC(bits, type)							\
	type __tsan_atomic##bits##_load(void *address, int order)			\
	{										\
		READ(address, sizeof(type));						\
		return *(type *)address;							\
	}										\
	void __tsan_atomic##bits##_store(void *address, type value, int order)		\
	{										\
		WRITE(address, sizeof(type));						\
		*(type *)address = value;							\
	}										\
	type __tsan_atomic##bits##_exchange(void *address, type value, int order)	\
	{										\
		WRITE(address, sizeof(type));						\
		return __atomic_exchange_n((type *)address, value, ORDER);			\
	}										\
	type __tsan_atomic##bits##_fetch_add(void *address, type value, int order)	\
	{										\
		WRITE(address, sizeof(type));						\
		return __atomic_fetch_add((type *)address, value, ORDER);			\
	}										\
	type __tsan_atomic##bits##_fetch_or(void *address, type value, int order)	\
	{										\
		WRITE(address, sizeof(type));						\
		return __atomic_fetch_or((type *)address, value, ORDER);			\
	}										\
	type __tsan_atomic##bits##_fetch_and(void *address, type value, int order)	\
	{										\
		WRITE(address, sizeof(type));						\
		return __atomic_fetch_and((type *)address, value, ORDER);			\
	}										\
	type __tsan_atomic##bits##_fetch_sub(void *address, type value, int order)	\
	{										\
		WRITE(address, sizeof(type));						\
		return __atomic_fetch_sub((type *)address, value, ORDER);			\
	}										\
	type __tsan_atomic##bits##_compare_exchange_val(void *address, type old,	\
							type value, int order,		\
							int failure)			\
	{										\
		WRITE(address, sizeof(type));						\
		__atomic_compare_exchange_n((type *)address, &old, value, false, ORDER,	\
					    ORDER);					\
		return old;								\
	}

DEFINE_ATOMIC(16, unsigned short)
DEFINE_ATOMIC(32, unsigned int)
DEFINE_ATOMIC(64, unsigned long)

void __tsan_atomic_thread_fence(int order)
{
}

void __tsan_read_range(void *address, size_t size)
{
	READ(address, size);
}

void __tsan_write_range(void *address, size_t size)
{
	WRITE(address, size);
}

void *__tsan_memcpy(void *to, const void *from, size_t size)
{
	READ(from, size);
	WRITE(to, size);
	return memcpy(to, from, size);
}

void *__tsan_memmove(void *to, const void *from, size_t size)
{
	READ(from, size);
	WRITE(to, size);
	return memmove(to, from, size);
}

void *__tsan_memset(void *to, int value, size_t size)
{
	WRITE(to, size);
	return memset(to, value, size);
}

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
}

void __tsan_func_exit(void)
{
}
