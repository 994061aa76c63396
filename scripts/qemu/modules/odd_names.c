// SPDX-License-Identifier: GPL-2.0
/*
 * Pools whose names, or whose devices' names, are no names of files, for as long
 * as this is loaded: two of each name for one device, and one for each other one.
 */
#include <linux/device.h>
#include <linux/module.h>
#include <linux/rust_dmapool.h>

/* Longer than the name of a file, the last by a character of two bytes at its beginning. */
static char long_name[301], longer_name[302], wide_name[303] = "ö";

/* The last one is no UTF-8. */
static const char *const names[] = {
	"", ".", "..", "...", ".hidden", "größe", "a/b", "a_b", "pools", "two\nlines",
	long_name, longer_name, wide_name, "_", "gr\xf6\xdf\x65",
};

static struct device devices[ARRAY_SIZE(names)];
static struct dma_pool *pools[3 * ARRAY_SIZE(names)];

/* Have the log say this name of a pool, once for each way. */
static bool complain(const char *name)
{
	struct dma_pool *pool;

	if (rust_dma_pool_create(name, &devices[0], 64, 48, 0) ||
	    rust_dma_pool_create_node(name, &devices[0], 64, 64, 0, INT_MAX) ||
	    rust_dma_pool_create_node(name, &devices[0], 64, 64, 0, 1))
		return false;
	pool = rust_dma_pool_create(name, &devices[0], 64, 64, 0);
	if (!pool)
		return false;
	rust_dma_pool_free(pool, NULL, 0);
	rust_dma_pool_destroy(pool);
	return true;
}

static void release(struct device *dev)
{
}

static void destroy_all(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(pools); i++)
		rust_dma_pool_destroy(pools[i]);
	for (i = 0; i < ARRAY_SIZE(devices); i++)
		put_device(&devices[i]);
}

/* They are in no sysfs, which would not have them. */
static int __init odd_names_init(void)
{
	int i, n = 0;

	memset(long_name, 'x', sizeof(long_name) - 1);
	memset(longer_name, 'x', sizeof(longer_name) - 1);
	memset(wide_name + 2, 'x', sizeof(wide_name) - 3);
	for (i = 0; i < ARRAY_SIZE(devices); i++) {
		devices[i].release = release;
		device_initialize(&devices[i]);
		if (dev_set_name(&devices[i], "%s", names[i]))
			goto fail;
	}
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!complain(names[i]))
			goto fail;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		pools[n++] = rust_dma_pool_create(names[i], &devices[0], 64, 64, 0);
		pools[n++] = rust_dma_pool_create(names[i], &devices[0], 64, 64, 0);
		pools[n++] = rust_dma_pool_create("of another", &devices[i], 64, 64, 0);
		if (!pools[n - 1] || !pools[n - 2] || !pools[n - 3])
			goto fail;
	}
	return 0;
fail:
	destroy_all();
	return -ENOMEM;
}

static void __exit odd_names_exit(void)
{
	destroy_all();
}

module_init(odd_names_init);
module_exit(odd_names_exit);
MODULE_DESCRIPTION("Pools and devices with odd names");
MODULE_LICENSE("GPL");
