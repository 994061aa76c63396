// SPDX-License-Identifier: GPL-2.0
/*
 * A device that writes garbage into each free block of its pool, all the time.
 *
 * QEMU's edu has the DMA engine for that, and does with it what this driver says
 * in its place. The driver is honest otherwise: it allocates and frees all the
 * time, and looks closely at each block that it is handed. Compiled twice: as it
 * is for the kernel's own pool, and with RUST_DMAPOOL_REPLACE for the other one.
 *
 * At the end the pool is destroyed, and the device writes to where it was. So it
 * does to pages that a pool has given back by shrink(); see hostile_shrink.rs.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/string.h>
#include "hostile.h"

#define DMA_SRC		0x80
#define DMA_DST		0x88
#define DMA_COUNT	0x90
#define DMA_CMD		0x98
#define CMD_START	BIT(0)
#define CMD_TO_DEVICE	0
#define CMD_FROM_DEVICE	BIT(1)
#define DEVICE_BUFFER	0x40000
#define DMA_BITS	28

#define SIZE		64
#define PER_PAGE	(PAGE_SIZE / SIZE)
#define PAGES		4
#define BLOCKS		(PAGES * PER_PAGE)
/* Blocks that are allocated and freed again while the device writes. */
#define CHURN		8
/* After that many the pool is left alone. */
#define ENOUGH		3

static int rounds = 24;
module_param(rounds, int, 0);
MODULE_PARM_DESC(rounds, "How many times to attack all free blocks");

static char *attack;
module_param(attack, charp, 0);
MODULE_PARM_DESC(attack, "Name of the only kind of garbage to write");

struct pool_page {
	u8 *v;
	dma_addr_t dma;
	DECLARE_BITMAP(live, PER_PAGE);
	/* What is in the blocks that are allocated. */
	u32 stamps[PER_PAGE];
};

struct hostile {
	struct device *dev;
	void __iomem *regs;
	struct dma_pool *pool;
	struct pool_page pages[PAGES];
	int known, live;
	/* What the device is to write. */
	u64 *garbage;
	dma_addr_t garbage_dma;
	unsigned long transfers, bytes, handed_out;
	int bad;
	/* Pages that were given back, and where the device knew them. */
	struct {
		struct page *page;
		dma_addr_t dma;
	} held[PAGES];
	int holding;
};

/* Not of the pool. Its first word is what the kernel's pool would read next. */
static u64 canary[SIZE / 8] __aligned(SIZE) = { 0, 0xca9a51, 0xca9a52, 0xca9a53 };

static __printf(2, 3) void bad(struct hostile *h, const char *format, ...)
{
	struct va_format vaf = { .fmt = format };
	va_list args;

	va_start(args, format);
	vaf.va = &args;
	dev_info(h->dev, "CORRUPTED: %pV\n", &vaf);
	va_end(args);
	h->bad++;
}

static struct pool_page *page_of(struct hostile *h, u8 *v)
{
	int i;

	for (i = 0; i < h->known; i++)
		if (PTR_ALIGN_DOWN(v, PAGE_SIZE) == h->pages[i].v)
			return &h->pages[i];
	return NULL;
}

/* Allocate a block; its number, or -1 if it is none that could be handed out. */
static int get(struct hostile *h)
{
	struct pool_page *page;
	dma_addr_t dma;
	size_t offset;
	u8 *v;

	v = dma_pool_zalloc(h->pool, GFP_KERNEL, &dma);
	if (!v) {
		bad(h, "no memory");
		return -1;
	}
	h->handed_out++;
	page = page_of(h, v);
	if (!page && h->live == h->known * PER_PAGE && h->known < PAGES) {
		page = &h->pages[h->known++];
		page->v = PTR_ALIGN_DOWN(v, PAGE_SIZE);
		page->dma = ALIGN_DOWN(dma, PAGE_SIZE);
	}
	if (!page) {
		bad(h, "memory that is not the pool's was handed out: %pS", v);
		return -1;
	}
	offset = v - page->v;
	if (dma != page->dma + offset || dma + SIZE - 1 > DMA_BIT_MASK(DMA_BITS))
		bad(h, "the device is told a wrong address: %pad", &dma);
	if (!IS_ALIGNED(offset, SIZE))
		bad(h, "a block is not aligned");
	if (__test_and_set_bit(offset / SIZE, page->live)) {
		bad(h, "an allocated block was handed out again");
		return -1;
	}
	h->live++;
	return (page - h->pages) * PER_PAGE + offset / SIZE;
}

static void put(struct hostile *h, int block)
{
	struct pool_page *page = &h->pages[block / PER_PAGE];
	int i = block % PER_PAGE;

	__clear_bit(i, page->live);
	h->live--;
	dma_pool_free(h->pool, page->v + i * SIZE, page->dma + i * SIZE);
}

/* The device may be writing to these, so only their addresses matter. */
static void churn(struct hostile *h)
{
	int blocks[CHURN], n = 0;

	while (n < CHURN && h->live < BLOCKS) {
		blocks[n] = get(h);
		if (blocks[n] < 0)
			break;
		n++;
	}
	while (n)
		put(h, blocks[--n]);
}

/* A transfer takes 100 ms. */
static void start(struct hostile *h, dma_addr_t ram, size_t len, u32 direction)
{
	writel(direction == CMD_TO_DEVICE ? ram : DEVICE_BUFFER, h->regs + DMA_SRC);
	writel(direction == CMD_TO_DEVICE ? DEVICE_BUFFER : ram, h->regs + DMA_DST);
	writel(len, h->regs + DMA_COUNT);
	writel(direction | CMD_START, h->regs + DMA_CMD);
	h->transfers++;
}

static int finish(struct hostile *h)
{
	int left = 100;

	while (readl(h->regs + DMA_CMD) & CMD_START) {
		if (!left--)
			return -ETIMEDOUT;
		if (h->pool && h->bad < ENOUGH)
			churn(h);
		msleep(20);
	}
	return 0;
}

static int transfer(struct hostile *h, dma_addr_t ram, size_t len, u32 direction)
{
	start(h, ram, len, direction);
	return finish(h);
}

static void random_bytes(struct hostile *h)
{
	get_random_bytes(h->garbage, PAGE_SIZE);
}

/* The list of the kernel's pool: the next free block, and this block's DMA address. */
static void list_entries(struct hostile *h, void *next, dma_addr_t dma)
{
	int i;

	for (i = 0; i < PAGE_SIZE / 8; i += 2) {
		h->garbage[i] = (u64)next;
		h->garbage[i + 1] = dma;
	}
}

static void kernel_variable(struct hostile *h)
{
	list_entries(h, canary, 0x1000);
}

static void allocated_block(struct hostile *h)
{
	struct pool_page *page = h->pages;
	size_t i = find_first_bit(page->live, PER_PAGE) % PER_PAGE;

	list_entries(h, page->v + i * SIZE, page->dma + i * SIZE);
}

static const struct {
	const char *name;
	void (*make)(struct hostile *h);
} attacks[] = {
	{ "random_bytes", random_bytes },
	{ "kernel_variable", kernel_variable },
	{ "allocated_block", allocated_block },
};

/* Have the device write over all blocks that are free, around the others. */
static int attack_free_blocks(struct hostile *h)
{
	struct pool_page *page;
	size_t i, end;
	int err;

	err = transfer(h, h->garbage_dma, PAGE_SIZE, CMD_TO_DEVICE);
	for (page = h->pages; page < h->pages + h->known; page++) {
		for (i = 0; !err && i < PER_PAGE; i = end + 1) {
			i = find_next_zero_bit(page->live, PER_PAGE, i);
			end = find_next_bit(page->live, PER_PAGE, i);
			if (i == end)
				continue;
			err = transfer(h, page->dma + i * SIZE, (end - i) * SIZE, CMD_FROM_DEVICE);
			if (!memcmp(page->v + i * SIZE, h->garbage, (end - i) * SIZE))
				h->bytes += (end - i) * SIZE;
		}
	}
	return err;
}

static void check_contents(struct hostile *h)
{
	struct pool_page *page;
	size_t i, j;

	for (page = h->pages; page < h->pages + h->known; page++) {
		for_each_set_bit(i, page->live, PER_PAGE) {
			u32 *words = (u32 *)(page->v + i * SIZE);

			for (j = 0; j < SIZE / 4 && words[j] == page->stamps[i]; j++)
				;
			if (j < SIZE / 4)
				bad(h, "the contents of a block were overwritten");
		}
	}
	if (canary[1] != 0xca9a51) {
		bad(h, "a variable of the kernel was overwritten");
		canary[1] = 0xca9a51;
	}
}

/* Allocate all blocks that there are. */
static void fill(struct hostile *h)
{
	while (h->live < BLOCKS && h->bad < ENOUGH) {
		int block = get(h);
		struct pool_page *page;
		u8 *v;

		if (block < 0)
			continue;
		page = &h->pages[block / PER_PAGE];
		v = page->v + block % PER_PAGE * SIZE;
		if (memchr_inv(v, 0, SIZE))
			bad(h, "a block is not zeroed");
		/* Never what could be taken for an address of the kernel. */
		page->stamps[block % PER_PAGE] = get_random_u32() >> 1;
		memset32((u32 *)v, page->stamps[block % PER_PAGE], SIZE / 4);
	}
}

/* Free blocks in any order: one in two, or nearly all. */
static void thin_out(struct hostile *h, bool nearly_all)
{
	u32 first = get_random_u32(), step = get_random_u32() | 1;
	int i;

	for (i = 0; i < BLOCKS; i++)
		if (nearly_all ? i > 4 : get_random_u32() % 2)
			put(h, (first + i * step) % BLOCKS);
}

/* What the device learns by reading a block that is free. */
static int spy(struct hostile *h)
{
	struct pool_page *page = h->pages;
	size_t i = find_first_zero_bit(page->live, PER_PAGE) % PER_PAGE;
	int err;

	err = transfer(h, page->dma + i * SIZE, SIZE, CMD_TO_DEVICE);
	if (!err)
		err = transfer(h, h->garbage_dma, SIZE, CMD_FROM_DEVICE);
	dev_info(h->dev, "a free block begins with %#llx %#llx\n", h->garbage[0], h->garbage[1]);
	/* Where all of the kernel's addresses begin. */
	if (h->garbage[0] >= PAGE_OFFSET)
		bad(h, "the device has read an address of the kernel");
	return err;
}

static int run(struct hostile *h)
{
	int i, kind, err;

	h->pool = dma_pool_create("hostile", h->dev, SIZE, SIZE, 0);
	if (!h->pool)
		return -ENOMEM;
	h->known = 0;
	fill(h);
	thin_out(h, false);
	err = spy(h);
	for (i = 0; i < rounds && !err && h->bad < ENOUGH; i++) {
		kind = i % ARRAY_SIZE(attacks);
		if (attack && strcmp(attack, attacks[kind].name))
			continue;
		attacks[kind].make(h);
		err = attack_free_blocks(h);
		check_contents(h);
		fill(h);
		check_contents(h);
		if (h->bad < ENOUGH)
			thin_out(h, i % 4 == 0);
	}
	return err;
}

/* Before a page is given back: a reference keeps it from being anybody's. */
void hostile_hold(struct hostile *h, void *v, dma_addr_t dma)
{
	struct page *page = is_vmalloc_addr(v) ? vmalloc_to_page(v) : virt_to_page(v);

	get_page(page);
	h->held[h->holding].page = page;
	h->held[h->holding++].dma = dma;
}

static bool written_to(struct page *page)
{
	return memchr_inv(page_address(page), 0x5a, PAGE_SIZE);
}

/* Have the device write to the pages that were given back. How many does it reach? */
int hostile_reach(struct hostile *h)
{
	int i, late, err, reached = 0;

	for (i = 0; i < h->holding; i++)
		memset(page_address(h->held[i].page), 0x5a, PAGE_SIZE);
	/* What was under way when they were given back, and is for the first of them. */
	err = finish(h);
	late = written_to(h->held[0].page);
	memset(page_address(h->held[0].page), 0x5a, PAGE_SIZE);

	for (i = 0; i < h->holding; i++) {
		err = err ?: transfer(h, h->held[i].dma, PAGE_SIZE, CMD_FROM_DEVICE);
		reached += written_to(h->held[i].page);
		put_page(h->held[i].page);
	}
	dev_info(h->dev, "given_back pages=%d reached=%d late=%d first=%#llx\n", h->holding,
		 reached, late, (u64)h->held[0].dma);
	h->holding = 0;
	return err;
}

/* Give everything back a few milliseconds before the device writes there. */
static int destroy(struct hostile *h)
{
	int i;

	fill(h);
	for (i = 0; i < BLOCKS; i++)
		put(h, i);
	for (i = 0; i < PAGES; i++)
		hostile_hold(h, h->pages[i].v, h->pages[i].dma);
	start(h, h->pages[0].dma, PAGE_SIZE, CMD_FROM_DEVICE);
	usleep_range(95000, 96000);
	dma_pool_destroy(h->pool);
	h->pool = NULL;
	return hostile_reach(h);
}

static int hostile_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct hostile *h = devm_kzalloc(&pdev->dev, sizeof(*h), GFP_KERNEL);
	int err;

	if (!h)
		return -ENOMEM;
	h->dev = &pdev->dev;
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	pci_set_master(pdev);
	err = dma_set_mask_and_coherent(h->dev, DMA_BIT_MASK(DMA_BITS));
	if (err)
		return err;
	h->regs = pcim_iomap_region(pdev, 0, KBUILD_MODNAME);
	if (IS_ERR(h->regs))
		return PTR_ERR(h->regs);
	h->garbage = dmam_alloc_coherent(h->dev, PAGE_SIZE, &h->garbage_dma, GFP_KERNEL);
	if (!h->garbage)
		return -ENOMEM;

	random_bytes(h);
	err = transfer(h, h->garbage_dma, PAGE_SIZE, CMD_TO_DEVICE);
#ifdef RUST_DMAPOOL_REPLACE
	err = err ?: hostile_shrink(h, h->dev);
#endif
	err = err ?: run(h);
	/* A pool that is broken had better not be touched again. */
	if (!err && !h->bad)
		err = destroy(h);
	dev_info(h->dev, "summary transfers=%lu bytes=%lu blocks=%lu bad=%d err=%d\n",
		 h->transfers, h->bytes, h->handed_out, h->bad, err);
	return err;
}

static const struct pci_device_id hostile_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};

static struct pci_driver hostile_driver = {
	.name = KBUILD_MODNAME,
	.id_table = hostile_ids,
	.probe = hostile_probe,
};
module_pci_driver(hostile_driver);
MODULE_DESCRIPTION("A malicious device");
MODULE_LICENSE("GPL");
