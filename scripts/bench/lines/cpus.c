// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs that take turns. Each has a stack; which of them goes on is drawn by lot, by numbers that
 * are the same in each run.
 */
#include "lines.h"

#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK	(64 * 1024)

struct cpu {
	/* How it is entered, and how it goes on: setjmp() asks nothing of the host's kernel. */
	ucontext_t entry;
	jmp_buf state;
	bool entered;
	/* What it waits for, and since when. */
	const void *key;
	unsigned long since;
};

int this_cpu = -1;
int nr_cpus;

static struct cpu cpus[MAX_CPUS];
static int runnable[MAX_CPUS];
static int nr_runnable;
static int nr_sleeping;
static char *stacks;
static ucontext_t nobody;
static void (*body_of_all)(int cpu);
static unsigned long random_state;
static unsigned long now;

/* xorshift64* */
unsigned int random_below(unsigned int limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return ((random_state * 0x2545f4914f6cdd1dUL >> 32) * limit) >> 32;
}

bool cpu_stack_has(const void *address)
{
	return (uintptr_t)address - (uintptr_t)stacks < (uintptr_t)nr_cpus * STACK;
}

/* Go on with a CPU without a way back, unless its state was saved. */
static void enter(int cpu)
{
	this_cpu = cpu;
	if (cpus[cpu].entered)
		_longjmp(cpus[cpu].state, 1);
	cpus[cpu].entered = true;
	setcontext(&cpus[cpu].entry);
	die("a CPU cannot be entered");
}

static void enter_any(void)
{
	if (nr_runnable)
		enter(runnable[random_below(nr_runnable)]);
	if (nr_sleeping)
		die("all CPUs wait");
	this_cpu = -1;
	setcontext(&nobody);
}

static void leave(void)
{
	if (!_setjmp(cpus[this_cpu].state))
		enter_any();
}

void cpu_switch(void)
{
	int next = runnable[random_below(nr_runnable)];

	if (next != this_cpu && !_setjmp(cpus[this_cpu].state))
		enter(next);
}

static void stop_running(void)
{
	for (int i = 0; i < nr_runnable; i++) {
		if (runnable[i] == this_cpu) {
			runnable[i] = runnable[--nr_runnable];
			return;
		}
	}
}

void cpu_sleep(const void *key)
{
	struct cpu *cpu = &cpus[this_cpu];

	cpu->key = key;
	cpu->since = now++;
	stop_running();
	nr_sleeping++;
	leave();
}

bool cpu_wake(const void *key)
{
	int first = -1;

	for (int i = 0; i < nr_cpus; i++) {
		if (cpus[i].key == key && (first < 0 || cpus[i].since < cpus[first].since))
			first = i;
	}
	if (first < 0)
		return false;
	cpus[first].key = NULL;
	nr_sleeping--;
	runnable[nr_runnable++] = first;
	return true;
}

void cpu_wake_all(const void *key)
{
	while (cpu_wake(key))
		;
}

/* Whether somebody is past cpu_queue(). */
static bool queue_taken;

void cpu_queue(void)
{
	if (this_cpu < 0)
		return;
	if (queue_taken)
		cpu_sleep(&queue_taken);
	else
		queue_taken = true;
}

void cpu_leave_queue(void)
{
	/* Whoever has waited longest has it now. */
	if (this_cpu >= 0)
		queue_taken = cpu_wake(&queue_taken);
}

static void begin(void)
{
	body_of_all(this_cpu);
	stop_running();
	enter_any();
}

void cpus_run(int count, unsigned long seed, void (*body)(int cpu))
{
	nr_cpus = count;
	body_of_all = body;
	random_state = (seed + 1) * 0x9e3779b97f4a7c15UL;
	stacks = mmap(NULL, (size_t)count * STACK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stacks == MAP_FAILED)
		die("no memory for stacks");
	for (int i = 0; i < count; i++) {
		getcontext(&cpus[i].entry);
		cpus[i].entry.uc_stack.ss_sp = stacks + (size_t)i * STACK;
		cpus[i].entry.uc_stack.ss_size = STACK;
		makecontext(&cpus[i].entry, begin, 0);
		runnable[nr_runnable++] = i;
	}

	/* It comes back here when all have ended. */
	getcontext(&nobody);
	if (nr_runnable)
		enter_any();
}
