// SPDX-License-Identifier: GPL-2.0

//! A driver of QEMU's `edu` with mistakes that the pool is told to look for: a device that writes
//! to a block after it was freed, and beyond the end of one, and blocks that are never freed.

use core::{
    hint::black_box,
    mem, //
};
use kernel::{
    device::Core,
    dma::{
        Device,
        DmaMask, //
    },
    pci,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Pool, //
};

mod edu;

const DMA_BITS: u32 = 28;

const SIZE: usize = 40;

/// Has the device write `count` zeroes to `dma`, and waits for that.
fn write_by_device(bar: &edu::Bar<'_>, dma: u64, count: usize) {
    // CAST: There is a mask of `DMA_BITS`, and the count is small.
    edu::start(bar, edu::BUFFER, dma as u32, count as u32, true);
    while edu::is_busy(bar) {
        fsleep(Delta::from_millis(1));
    }
}

fn pool<'a>(pdev: &'a pci::Device<Core<'_>>, name: &CStr) -> Result<Pool<'a>> {
    Pool::new(pdev.as_ref(), name, Geometry::new::<SIZE, 8, 0>())
}

/// The device writes to a block that was freed.
fn late(pdev: &pci::Device<Core<'_>>, bar: &edu::Bar<'_>) -> Result {
    let pool = pool(pdev, c"late")?;
    let dma = pool.alloc(GFP_KERNEL)?.dma_address();

    write_by_device(bar, dma + 4, 8);
    Ok(())
}

/// The device writes beyond the end of a block.
fn too_far(pdev: &pci::Device<Core<'_>>, bar: &edu::Bar<'_>) -> Result {
    let pool = pool(pdev, c"too far")?;
    let block = pool.alloc(GFP_KERNEL)?;
    let intact = pool.alloc(GFP_KERNEL)?;

    write_by_device(bar, block.dma_address(), SIZE + 2);
    write_by_device(bar, intact.dma_address(), SIZE);
    Ok(())
}

/// A block is not given out again soon after it was freed.
fn waits(pdev: &pci::Device<Core<'_>>) -> Result {
    let pool = pool(pdev, c"waits")?;
    let first = pool.alloc(GFP_KERNEL)?.dma_address();
    let mut others = 0;

    while pool.alloc(GFP_KERNEL)?.dma_address() != first && others < 1000 {
        others += 1;
    }
    pr_info!("{others} others, {} live\n", pool.statistics().live);
    Ok(())
}

#[inline(never)]
fn allocate_here<'a>(pool: &'a Pool<'_>) -> Result<Block<'a>> {
    black_box(pool.alloc(GFP_KERNEL))
}

#[inline(never)]
fn allocate_there<'a>(pool: &'a Pool<'_>) -> Result<Block<'a>> {
    black_box(pool.zalloc(GFP_KERNEL))
}

/// Some blocks are never freed.
fn leaked(pdev: &pci::Device<Core<'_>>) -> Result {
    let pool = pool(pdev, c"leaked")?;

    for number in 0..100 {
        let block = allocate_here(&pool)?;

        if number % 50 == 7 {
            mem::forget(block);
        }
    }
    for _ in 0..3 {
        mem::forget(allocate_there(&pool)?);
    }
    Ok(())
}

struct Watched;

/// Blocks that stay until the driver detaches.
struct DriverData<'bound> {
    _blocks: KVec<Block<'bound>>,
}

impl<'bound> DriverData<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        pdev.enable_device_mem()?;
        pdev.set_master();
        // SAFETY: There are no concurrent calls to DMA allocation and mapping primitives.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::try_new(DMA_BITS)?)? };
        let bar = pdev.iomap_region_sized::<{ edu::END }>(0, c"watched")?;

        late(pdev, &bar)?;
        too_far(pdev, &bar)?;
        waits(pdev)?;
        leaked(pdev)?;

        let kept = Pool::new_managed(pdev, c"kept", Geometry::new::<SIZE, 8, 0>())?.lend();
        let mut blocks = KVec::new();
        blocks.push(allocate_there(kept)?, GFP_KERNEL)?;
        for _ in 0..3 {
            blocks.push(allocate_here(kept)?, GFP_KERNEL)?;
        }
        Ok(Self { _blocks: blocks })
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <Watched as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_class(0x00ff00, 0xffff00), ())]
);

impl pci::Driver for Watched {
    type IdInfo = ();
    type Data<'bound> = DriverData<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        DriverData::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: Watched,
    name: "watched",
    authors: ["The rust_dmapool authors"],
    description: "Mistakes that a pool is told to look for",
    license: "GPL v2",
}
