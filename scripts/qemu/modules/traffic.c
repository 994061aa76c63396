// SPDX-License-Identifier: GPL-2.0
/*
 * A driver whose threads allocate and free blocks for as long as it is bound, on
 * whatever CPUs there are. Each block is stamped with a number that only its
 * owner knows. When it is unbound, the log says how many operations and errors
 * there were.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/random.h>

#define NAME "rust_dmapool_traffic"
#define SIZE 512

static unsigned int threads = 4;
module_param(threads, uint, 0444);

/* Blocks that a thread holds at most. */
#define MOST 64

struct traffic;

struct worker {
	struct traffic *traffic;
	struct task_struct *task;
	struct {
		u64 *v;
		dma_addr_t dma;
		u64 stamp;
	} blocks[MOST];
};

struct traffic {
	struct dma_pool *pool;
	atomic64_t operations, errors;
	/* One more than there are threads: the driver's own blocks. */
	struct worker workers[];
};

/* Allocates a block where there is none, and frees it where there is one. */
static void turn(struct worker *worker, int i, gfp_t flags)
{
	typeof(worker->blocks[i]) *block = &worker->blocks[i];
	struct traffic *traffic = worker->traffic;
	u64 count = atomic64_inc_return(&traffic->operations);

	if (block->v) {
		if (block->v[0] != block->stamp || block->v[SIZE / 8 - 1] != block->stamp)
			atomic64_inc(&traffic->errors);
		dma_pool_free(traffic->pool, block->v, block->dma);
		block->v = NULL;
		return;
	}

	block->v = dma_pool_alloc(traffic->pool, flags, &block->dma);
	if (!block->v) {
		atomic64_inc(&traffic->errors);
		return;
	}
	block->stamp = count;
	block->v[0] = count;
	block->v[SIZE / 8 - 1] = count;
}

static int work(void *data)
{
	while (!kthread_should_stop()) {
		for (int i = 0; i < 100; i++)
			turn(data, get_random_u32_below(MOST), i % 2 ? GFP_KERNEL : GFP_ATOMIC);
		/* Leave something of the CPU to others: it may be emulated. */
		usleep_range(100, 200);
	}
	return 0;
}

static void finish(struct traffic *traffic)
{
	for (int t = 0; t <= threads; t++) {
		struct worker *worker = &traffic->workers[t];

		if (worker->task)
			kthread_stop(worker->task);
		for (int i = 0; i < MOST; i++) {
			if (worker->blocks[i].v)
				turn(worker, i, 0);
		}
	}
}

static int traffic_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct traffic *traffic;
	size_t size = struct_size(traffic, workers, size_add(threads, 1));
	int ret;

	traffic = devm_kzalloc(dev, size, GFP_KERNEL);
	if (!traffic)
		return -ENOMEM;
	ret = dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	traffic->pool = dmam_pool_create("traffic", dev, SIZE, SIZE, 0);
	if (!traffic->pool)
		return -ENOMEM;
	platform_set_drvdata(pdev, traffic);

	for (int t = 0; t <= threads; t++) {
		struct worker *worker = &traffic->workers[t];

		worker->traffic = traffic;
		if (t < threads) {
			struct task_struct *task = kthread_run(work, worker, "traffic/%d", t);

			if (IS_ERR(task)) {
				finish(traffic);
				return PTR_ERR(task);
			}
			worker->task = task;
		}
	}
	for (int i = 0; i < MOST; i++)
		turn(&traffic->workers[threads], i, GFP_KERNEL);
	return 0;
}

static void traffic_remove(struct platform_device *pdev)
{
	struct traffic *traffic = platform_get_drvdata(pdev);

	finish(traffic);
	dev_info(&pdev->dev, "operations %lld errors %lld\n",
		 atomic64_read(&traffic->operations), atomic64_read(&traffic->errors));
}

static struct platform_driver traffic_driver = {
	.probe = traffic_probe,
	.remove = traffic_remove,
	.driver.name = NAME,
};

static struct platform_device *device;

static int __init traffic_init(void)
{
	int ret = platform_driver_register(&traffic_driver);

	if (ret)
		return ret;
	device = platform_device_register_simple(NAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(device))
		platform_driver_unregister(&traffic_driver);
	return PTR_ERR_OR_ZERO(device);
}

static void __exit traffic_exit(void)
{
	platform_device_unregister(device);
	platform_driver_unregister(&traffic_driver);
}

module_init(traffic_init);
module_exit(traffic_exit);
MODULE_DESCRIPTION("Traffic for a DMA pool");
MODULE_LICENSE("GPL");
