// SPDX-License-Identifier: GPL-2.0
/*
 * A pool for QEMU's edu device, which no driver is bound to. It stays when this is
 * unloaded: devres destroys it, with the device.
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/rust_dmapool.h>

static bool managed;
module_param(managed, bool, 0);
MODULE_PARM_DESC(managed, "Whether the pool knows that it is devres's");

static struct dma_pool *create(struct device *dev)
{
	struct dma_pool *pool;

	if (managed)
		return rust_dmam_pool_create("unbound", dev, 64, 64, 0);
	pool = rust_dma_pool_create("unbound", dev, 64, 64, 0);
	if (!pool || devm_add_action_or_reset(dev, (void *)rust_dma_pool_destroy, pool))
		return NULL;
	return pool;
}

static int use(struct device *dev)
{
	struct dma_pool *pool;
	dma_addr_t dma;
	void *v;

	if (dma_set_mask_and_coherent(dev, DMA_BIT_MASK(32)))
		return -EIO;
	pool = create(dev);
	v = pool ? rust_dma_pool_alloc(pool, GFP_KERNEL, &dma) : NULL;
	if (!v)
		return -ENOMEM;
	rust_dma_pool_free(pool, v, dma);
	return 0;
}

static int __init unbound_init(void)
{
	struct pci_dev *pdev = pci_get_device(0x1234, 0x11e8, NULL);
	int ret;

	if (!pdev)
		return -ENODEV;
	ret = use(&pdev->dev);
	pci_dev_put(pdev);
	return ret;
}

static void __exit unbound_exit(void)
{
}

module_init(unbound_init);
module_exit(unbound_exit);
MODULE_DESCRIPTION("A DMA pool for a device without a driver");
MODULE_LICENSE("GPL");
