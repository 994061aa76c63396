// SPDX-License-Identifier: GPL-2.0
/*
 * The lock of C's pool. It is a better one than there is: who waits for it moves no line, and gets
 * it in turn. What remains is that whoever takes or releases it must have its line.
 */
#include "../host/dmapool.h"

#include "lines.h"

void bench_spin_lock(spinlock_t *lock)
{
	cpu_queue();
	__atomic_fetch_add(&lock->next, 1, __ATOMIC_ACQUIRE);
}

void bench_spin_unlock(spinlock_t *lock)
{
	__atomic_store_n(&lock->owner, lock->owner + 1, __ATOMIC_RELEASE);
	cpu_leave_queue();
}
