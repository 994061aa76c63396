// SPDX-License-Identifier: GPL-2.0

//! Blocks whose alignment or boundary the system's memory may not have: CMA aligns to 1 MiB at
//! most. Whatever a pool gives has both.

use kernel::{
    alloc::Flags,
    device::{
        Bound,
        Core,
        Device, //
    },
    dma::DmaMask,
    pci,
    prelude::*, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Options,
    Pool, //
};

const MIB: usize = 1 << 20;

/// Counts blocks that hold what their geometry says, those that do not, and failures.
fn count(pool: &Pool<'_>, boundary: usize, flags: Flags) -> Result {
    let geometry = pool.geometry();
    let (mut good, mut bad, mut failed) = (0, 0, 0);
    let mut blocks = KVec::new();

    for _ in 0..6 {
        match pool.alloc(flags) {
            Ok(block) => {
                let first = block.dma_address() as usize;
                let last = first + geometry.size() - 1;
                let fits = boundary == 0 || first / boundary == last / boundary;

                if first % geometry.align() == 0 && fits {
                    good += 1;
                } else {
                    bad += 1;
                }
                blocks.push(block, GFP_KERNEL)?;
            }
            Err(_) => failed += 1,
        }
    }
    pr_info!(
        "pool {}: good={good} bad={bad} failed={failed}\n",
        pool.name()
    );
    Ok(())
}

/// Blocks of 1 MiB until the next one will be at an odd number of these, if the system takes the
/// first place that there is.
fn fill<'a>(pool: &'a Pool<'_>) -> Result<KVec<Block<'a>>> {
    let mut blocks = KVec::new();

    loop {
        let block = pool.alloc(GFP_KERNEL)?;
        let odd = block.dma_address() as usize % (2 * MIB) != 0;

        blocks.push(block, GFP_KERNEL)?;
        if !odd || blocks.len() > 8 {
            return Ok(blocks);
        }
    }
}

struct LargeBlocks;

struct Data;

impl Data {
    fn new(pdev: &pci::Device<Core<'_>>) -> Result<Self> {
        use kernel::dma::Device;

        // SAFETY: Nobody allocates DMA memory for this device yet.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<64>())? };
        Self::count_all(pdev.as_ref())?;
        Ok(Self)
    }

    fn count_all(dev: &Device<Bound>) -> Result {
        let filler = Pool::<[u8]>::new(dev, c"filler", Geometry::new::<MIB, MIB, 0>())?;
        let aligned = Geometry::new::<{ 2 * MIB }, { 2 * MIB }, { 2 * MIB }>();
        let bounded = Geometry::new::<1_335_296, 0, { 2 * MIB }>();
        let filled = fill(&filler)?;

        count(&Pool::new(dev, c"aligned", aligned)?, 0, GFP_KERNEL)?;
        count(&Pool::new(dev, c"bounded", bounded)?, 2 * MIB, GFP_KERNEL)?;
        // CMA is only for those who may wait.
        count(&Pool::new(dev, c"atomic", aligned)?, 0, GFP_ATOMIC)?;
        let reserve = Options::new().min_nr(2);
        let pool = Pool::<[u8]>::new_with(dev, c"reserve", aligned, reserve);
        pr_info!("reserve: {:?}\n", pool.err());
        drop(filled);
        Ok(())
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <LargeBlocks as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

impl pci::Driver for LargeBlocks {
    type IdInfo = ();
    type Data<'bound> = Data;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Data::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: LargeBlocks,
    name: "large_blocks",
    authors: ["The rust_dmapool authors"],
    description: "Blocks for which memory may lie in the wrong place",
    license: "GPL v2",
}
