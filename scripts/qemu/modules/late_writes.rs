// SPDX-License-Identifier: GPL-2.0

//! Writes to blocks that are free, and that nobody allocates again before their pool is shrunk or
//! destroyed. What each pool is to say stands in `scripts/qemu/scenarios/late-writes`.

use core::mem;
use kernel::{
    device::Core,
    dma::{
        Device,
        DmaMask, //
    },
    pci,
    prelude::*, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Options,
    Pool, //
};

/// A page has 42 blocks, and a gap at its end that is nobody's. From one block to the next it is 96
/// bytes, which are looked at as well.
const GEOMETRY: Geometry = Geometry::new::<90, 32, 0>();

/// So many that there is more than one page.
const BLOCKS: usize = 100;

fn pool<'a>(pdev: &'a pci::Device<Core<'_>>, name: &CStr) -> Result<Pool<'a>> {
    Pool::new(pdev.as_ref(), name, GEOMETRY)
}

/// Frees `block`, and then writes to it.
fn free_and_write(block: Block<'_>, offset: usize) {
    let first = block.as_ptr().cast::<u8>();

    drop(block);
    // SAFETY: The page stays while the pool is not shrunk, and nobody has the block.
    unsafe { first.add(offset).write_volatile(0x42) };
}

/// Fills pages, and returns the blocks in no order.
fn blocks<'a>(pool: &'a Pool<'_>) -> Result<KVec<Block<'a>>> {
    let mut blocks = KVec::new();

    for _ in 0..BLOCKS {
        blocks.push(pool.alloc(GFP_KERNEL)?, GFP_KERNEL)?;
    }
    Ok(blocks)
}

/// Writes after the end of one block of several pages, and has the pool shrunk.
fn shrunk(pdev: &pci::Device<Core<'_>>) -> Result {
    let pool = pool(pdev, c"shrunk")?;
    let mut all = blocks(&pool)?;

    let last = all.pop();
    drop(all);
    last.map(|block| free_and_write(block, 95));
    pr_info!("shrunk by {} pages\n", pool.shrink());
    Ok(())
}

fn destroyed(pdev: &pci::Device<Core<'_>>) -> Result {
    let pool = pool(pdev, c"destroyed")?;
    let mut all = blocks(&pool)?;

    let last = all.pop();
    drop(all);
    last.map(|block| free_and_write(block, 17));
    Ok(())
}

/// A page stays because of a block that is forgotten; of the free ones of that page one is written
/// to, and the other one keeps what its owner has written.
fn kept(pdev: &pci::Device<Core<'_>>) -> Result {
    let pool = pool(pdev, c"kept")?;
    let (forgotten, written) = (pool.alloc(GFP_KERNEL)?, pool.alloc(GFP_KERNEL)?);

    // SAFETY: The block is ours.
    unsafe { forgotten.as_ptr().cast::<u8>().write_volatile(0x42) };
    mem::forget(forgotten);
    free_and_write(written, 5);
    Ok(())
}

/// A block of the reserve is free, too, for everybody but the pool.
fn reserved(pdev: &pci::Device<Core<'_>>) -> Result {
    let options = Options::new().min_nr(4);
    let pool = Pool::<[u8]>::new_with(pdev.as_ref(), c"reserved", GEOMETRY, options)?;
    let mut all = KVec::new();

    // Those of the reserve come last, and go there first.
    while pool.statistics().reserved > 0 {
        all.push(pool.alloc(GFP_ATOMIC)?, GFP_KERNEL)?;
    }
    all.pop().map(|block| free_and_write(block, 33));
    Ok(())
}

/// All blocks are written to.
fn many(pdev: &pci::Device<Core<'_>>) -> Result {
    let pool = pool(pdev, c"many")?;

    for block in blocks(&pool)? {
        free_and_write(block, 1);
    }
    Ok(())
}

/// Nothing is to be said of a pool that was used as it should.
fn clean(pdev: &pci::Device<Core<'_>>) -> Result {
    let pool = pool(pdev, c"clean")?;

    for block in blocks(&pool)?.iter() {
        // SAFETY: The block is ours, and has that many bytes.
        unsafe {
            block
                .as_ptr()
                .cast::<u8>()
                .write_bytes(0x42, GEOMETRY.size())
        };
    }
    drop(blocks(&pool)?);
    pool.shrink();
    drop(pool.zalloc(GFP_KERNEL)?);
    Ok(())
}

struct LateDriver;

kernel::pci_device_table!(
    PCI_TABLE,
    <LateDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

struct LateData;

impl LateData {
    fn new(pdev: &pci::Device<Core<'_>>) -> Result<Self> {
        // SAFETY: Nobody allocates DMA memory for this device yet.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<32>())? };

        for commit in [shrunk, destroyed, kept, reserved, many, clean] {
            commit(pdev)?;
        }
        pr_info!("done\n");
        Ok(Self)
    }
}

impl pci::Driver for LateDriver {
    type IdInfo = ();
    type Data<'bound> = LateData;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        LateData::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: LateDriver,
    name: "late_writes",
    authors: ["The rust_dmapool authors"],
    description: "Late writes to blocks of DMA pools",
    license: "GPL v2",
}
