// SPDX-License-Identifier: GPL-2.0

#include <sched.h>

#include "dmapool.h"

/*
 * Unlike the kernel's, who has the lock or is the next to have it can be preempted.
 * No other wait takes as long as this.
 */
#define PREEMPTED 10000

static void relax(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

void bench_spin_lock(spinlock_t *lock)
{
	unsigned short ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_ACQUIRE);
	unsigned int waited = 0;

	while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket) {
		relax();
		if (++waited % PREEMPTED == 0)
			sched_yield();
	}
}

void bench_spin_unlock(spinlock_t *lock)
{
	__atomic_store_n(&lock->owner, lock->owner + 1, __ATOMIC_RELEASE);
}
