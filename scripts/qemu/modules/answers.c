// SPDX-License-Identifier: GPL-2.0
/*
 * Has an NVMe controller say something else to the NVMe driver in Rust than it does. The driver
 * reads registers, and writes them, by two functions of the kernel; so this knows of each command
 * of the admin queue, and changes what the controller answers before the driver looks.
 *
 * All parameters can be changed at any time. There must be no IOMMU.
 */

#include <linux/delay.h>
#include <linux/io.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/string.h>

static unsigned int reg[3] = { 1 };
module_param_array(reg, uint, NULL, 0600);
MODULE_PARM_DESC(reg, "A register: where it is, which bits stay, which bits are set");

static unsigned int identify[6];
module_param_array(identify, uint, NULL, 0600);
MODULE_PARM_DESC(identify, "An answer: what was asked about, of which namespace, where in it, three words");

static unsigned int words;
module_param(words, uint, 0600);
MODULE_PARM_DESC(words, "How many words of the answer are meant");

static unsigned int namespaces;
module_param(namespaces, uint, 0600);
MODULE_PARM_DESC(namespaces, "How many namespaces there are, if not 0, from the first on");

static unsigned int fail[3];
module_param_array(fail, uint, NULL, 0600);
MODULE_PARM_DESC(fail, "A command that fails: its opcode, how many pass before, the status");

static unsigned int result[2];
module_param_array(result, uint, NULL, 0600);
MODULE_PARM_DESC(result, "The result of a command: its opcode, the result");

static unsigned int strays;
module_param(strays, uint, 0600);
MODULE_PARM_DESC(strays, "How many completions of no command come before an answer, twice its queue");

static bool stuck;
module_param(stuck, bool, 0600);
MODULE_PARM_DESC(stuck, "The controller cannot be switched off");

static unsigned int more;
module_param(more, uint, 0600);
MODULE_PARM_DESC(more, "How many completions follow, each as soon as an interrupt handler takes one");

static unsigned int most;
module_param(most, uint, 0600);
MODULE_PARM_DESC(most, "How many completions an interrupt handler has taken at most");

enum {
	CC = 0x14,
	CSTS = 0x1c,
	AQA = 0x24,
	ASQ = 0x28,
	ACQ = 0x30,
	DOORBELLS = 0x1000,
	CREATE_CQ = 0x05,
	IDENTIFY = 0x06,
	IDENTIFY_CONTROLLER = 1,
	IDENTIFY_LIST = 2,
	COUNT = 516,
};

struct command {
	u8 opcode, flags;
	u16 id;
	u32 nsid, cdw2, cdw3;
	u64 metadata, prp1, prp2;
	u32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

struct completion_entry {
	u32 result, reserved;
	u16 head, queue, id, status;
};

/* What the driver has told the controller of the admin queues, and where it is. */
static unsigned long registers;
static u64 submissions, completions;
static unsigned int entries, head, phase;
static const struct command *pending;

/* What the controller has said, while the driver gets to see others. */
static struct completion_entry kept;
static unsigned int strays_at;

/* The first of the other queues, and how many of its completions an interrupt handler has taken. */
static struct completion_entry *queue;
static unsigned int depth, taken;

static void change_namespaces(void)
{
	u32 *answer = phys_to_virt(pending->prp1);
	unsigned int i;

	if ((pending->cdw10 & 0xff) == IDENTIFY_CONTROLLER)
		answer[COUNT / 4] = namespaces;
	if ((pending->cdw10 & 0xff) == IDENTIFY_LIST)
		for (i = 0; i < min(namespaces, PAGE_SIZE / 4); i++)
			answer[i] = i + 1;
}

static void change(struct completion_entry *entry)
{
	if (pending->opcode == IDENTIFY && namespaces)
		change_namespaces();
	if (pending->opcode == IDENTIFY && (pending->cdw10 & 0xff) == identify[0] &&
	    pending->nsid == identify[1])
		memcpy(phys_to_virt(pending->prp1) + identify[2], &identify[3], 4 * min(words, 3));
	if (pending->opcode == result[0] && result[0])
		entry->result = result[1];
	if (pending->opcode == fail[0] && fail[0] && !fail[1]--) {
		/* Commands of other queues have time to get to the controller. */
		mdelay(500);
		entry->status = fail[2] << 1 | (entry->status & 1);
		fail[0] = 0;
	}
}

/* The driver looks for a completion: have it be there, and change it. */
static void answer(void)
{
	struct completion_entry *entry = phys_to_virt(completions);
	unsigned int left = 5000000;

	entry += head;
	while ((READ_ONCE(entry->status) & 1) != phase) {
		if (!left--)
			return;
		udelay(1);
	}
	/* The phase is written last, and so read first. */
	rmb();
	change(entry);
	if (strays) {
		kept = *entry;
		strays_at = head;
		entry->id = 0xffff;
	}
	if (++head == entries) {
		head = 0;
		phase ^= 1;
	}
	pending = NULL;
}

static int read_entry(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	*(unsigned long *)ri->data = regs_get_kernel_argument(regs, 0);
	return 0;
}

static int read_exit(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	unsigned long address = *(unsigned long *)ri->data;
	u32 value = regs_return_value(regs);

	if ((address & ~PAGE_MASK) == CSTS && pending)
		answer();
	if ((address & ~PAGE_MASK) == reg[0])
		regs_set_return_value(regs, (value & reg[1]) | reg[2]);
	return 0;
}

static struct kretprobe read_probe = {
	.kp.symbol_name = "rust_helper_readl",
	.entry_handler = read_entry,
	.handler = read_exit,
	.data_size = sizeof(unsigned long),
};

static void submit(unsigned int tail)
{
	const struct command *command = (struct command *)phys_to_virt(submissions);

	command += (tail ? tail : entries) - 1;
	if (command->opcode == CREATE_CQ && (command->cdw10 & 0xffff) == 1) {
		queue = phys_to_virt(command->prp1);
		depth = (command->cdw10 >> 16) + 1;
	}
	pending = command;
}

static int write_entry(struct kprobe *probe, struct pt_regs *regs)
{
	u64 value = regs_get_kernel_argument(regs, 0) & U32_MAX;
	unsigned long address = regs_get_kernel_argument(regs, 1);

	if ((address & ~PAGE_MASK) == AQA) {
		registers = address & PAGE_MASK;
		entries = (value & 0xfff) + 1;
		head = 0;
		phase = 1;
		pending = NULL;
	}
	/* Also before it is known where the registers are: no doorbell has so much to tell. */
	if (stuck && (address & ~PAGE_MASK) == CC && value > U16_MAX)
		regs->di |= 1;
	switch (address - registers) {
	case ASQ:
		submissions = value;
		break;
	case ASQ + 4:
		submissions |= value << 32;
		break;
	case ACQ:
		completions = value;
		break;
	case ACQ + 4:
		completions |= value << 32;
		break;
	case DOORBELLS:
		submit(value);
		break;
	}
	return 0;
}

static struct kprobe write_probe = {
	.symbol_name = "rust_helper_writel",
	.pre_handler = write_entry,
};

/* In an interrupt handler, beside the exception by which a probe may have come here. */
static bool in_handler(void)
{
	return hardirq_count() >= (in_nmi() ? 2 : 1) * HARDIRQ_OFFSET;
}

/* Which entry of the queue was written last: those up to there have the phase of the first. */
static unsigned int last_entry(void)
{
	unsigned int i = 0;

	while (i + 1 < depth && !((queue[i + 1].status ^ queue[0].status) & 1))
		i++;
	return i;
}

/* Put what comes after the completion `at`, which the driver is about to read. */
static unsigned int put_next(struct completion_entry *ring, unsigned int size, unsigned int at,
			     struct completion_entry what)
{
	unsigned int next = at + 1 < size ? at + 1 : 0;

	what.status = (what.status & ~1) | ((ring[at].status ^ !next) & 1);
	ring[next].result = what.result;
	ring[next].id = what.id;
	/* As a controller does. */
	wmb();
	WRITE_ONCE(ring[next].status, what.status);
	return next;
}

static const struct completion_entry stray = { .id = 0xffff };

/* The driver has found a completion, and is about to read it: there is one more. */
static int take(struct kprobe *probe, struct pt_regs *regs)
{
	static unsigned int at;

	if (!in_handler()) {
		if (strays)
			strays_at = put_next(phys_to_virt(completions), entries, strays_at,
					     --strays ? stray : kept);
		return 0;
	}
	if (!queue)
		return 0;
	most = max(most, ++taken);
	if (!more)
		return 0;
	if (taken == 1)
		at = last_entry();
	more--;
	at = put_next(queue, depth, at, stray);
	return 0;
}

static struct kprobe take_probe = {
	.symbol_name = "rust_helper_dma_rmb",
	.pre_handler = take,
};

/* The interrupt handler comes to its end, or begins: it takes the lock of its queue. */
static int begin(struct kprobe *probe, struct pt_regs *regs)
{
	if (in_handler())
		taken = 0;
	return 0;
}

static struct kprobe begin_probe = {
	.symbol_name = "rust_helper_spin_lock_irq_disable",
	.pre_handler = begin,
};

static struct kprobe *probes[] = { &write_probe, &take_probe, &begin_probe };

static int __init answers_init(void)
{
	int ret = register_kretprobe(&read_probe);

	if (ret)
		return ret;
	ret = register_kprobes(probes, ARRAY_SIZE(probes));
	if (ret)
		unregister_kretprobe(&read_probe);
	return ret;
}

static void __exit answers_exit(void)
{
	unregister_kprobes(probes, ARRAY_SIZE(probes));
	unregister_kretprobe(&read_probe);
}

module_init(answers_init);
module_exit(answers_exit);

MODULE_DESCRIPTION("Changes what an NVMe controller says");
MODULE_LICENSE("GPL");
