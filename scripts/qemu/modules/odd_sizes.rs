// SPDX-License-Identifier: GPL-2.0

//! Sizes, counts, offsets and tokens that no driver should ask for, and safe code can: each comes
//! to an error.

use kernel::{
    alloc::NumaNode,
    device::{
        Bound,
        Core,
        Device, //
    },
    dma::DmaMask,
    io::{
        io_project,
        io_write,
        Io, //
    },
    pci,
    prelude::*, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Options,
    Pool,
    RawBlock, //
};

const EXTREMES: [usize; 12] = [
    0,
    1,
    2,
    3,
    100,
    4096,
    4097,
    i32::MAX as usize,
    1 << 31,
    u32::MAX as usize,
    1 << 63,
    usize::MAX,
];

/// Says what is not so, and fails.
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            pr_err!("not so: {}\n", stringify!($condition));
            return Err(EIO);
        }
    };
}

fn bytes(dev: &Device<Bound>, size: usize, align: usize) -> Result<Pool<'_>> {
    Pool::new(dev, c"odd sizes", Geometry::try_new(dev, size, align, 0)?)
}

/// Copies that do not fit are refused, and change nothing; one of the length that was asked for
/// fits.
fn copies(dev: &Device<Bound>) -> Result {
    let pool = bytes(dev, 100, 8)?;
    let (block, next) = (pool.zalloc(GFP_KERNEL)?, pool.zalloc(GFP_KERNEL)?);
    let mut copy = [0; 100];

    ensure!(block.as_ptr().len() == 100 && block.len() == 100);
    block.copy_from_slice(&[1; 100])?;
    for len in [0, 1, 99, 101, 104, 4096] {
        let mut other = KVec::from_elem(2u8, len, GFP_KERNEL)?;

        ensure!(block.copy_from_slice(&other) == Err(EINVAL));
        ensure!(block.copy_to_slice(&mut other) == Err(EINVAL));
        ensure!(other.iter().all(|&byte| byte == 2));
    }
    block.copy_to_slice(&mut copy)?;
    ensure!(copy == [1; 100]);
    next.copy_to_slice(&mut copy)?;
    ensure!(copy == [0; 100]);
    Ok(())
}

/// A part of a block, which the block may not have.
fn set_part(block: &Block<'_>, from: usize, to: usize) -> Result {
    let part = io_project!(block, [try: from..to]);

    ensure!(part.len() == to - from);
    Ok(())
}

fn parts(dev: &Device<Bound>) -> Result {
    let pool = bytes(dev, 3, 1)?;
    let (block, odd) = (pool.zalloc(GFP_KERNEL)?, pool.zalloc(GFP_KERNEL)?);

    set_part(&block, 0, 3)?;
    set_part(&block, 3, 3)?;
    for (from, to) in [(0, 4), (4, 4), (2, 1), (0, usize::MAX), (usize::MAX, 0)] {
        ensure!(set_part(&block, from, to) == Err(ERANGE));
    }
    ensure!((|| -> Result { Ok(io_write!(block, [try: usize::MAX], 1)) })() == Err(ERANGE));
    // Too large, and not aligned.
    ensure!(block.try_cast::<u32>().is_err());
    ensure!(block.try_cast::<u16>().is_ok());
    ensure!(odd.try_cast::<u16>().is_err());
    Ok(())
}

/// Every combination is refused or comes to a sensible geometry.
fn geometries() -> Result {
    for size in EXTREMES {
        for align in EXTREMES {
            for boundary in EXTREMES {
                if let Ok(geometry) = Geometry::<[u8]>::check(size, align, boundary) {
                    ensure!(geometry.size() == size && geometry.stride() >= size);
                    ensure!(geometry.page_size() >= geometry.stride());
                    ensure!(geometry.blocks_per_page() > 0);
                }
            }
        }
    }
    Ok(())
}

/// More than there is.
fn large(dev: &Device<Bound>) -> Result {
    for (size, align) in [
        (i32::MAX as usize, 1),
        (1 << 30, 1 << 30),
        (1, 1 << 30),
        (64 << 20, 1),
    ] {
        let pool = bytes(dev, size, align)?;

        ensure!(pool.alloc(GFP_KERNEL).err() == Some(ENOMEM));
        ensure!(pool.alloc(GFP_ATOMIC).err() == Some(ENOMEM));
        ensure!(pool.prefill(1, GFP_KERNEL) == Err(ENOMEM));
        ensure!(pool.statistics().pages == 0);
    }
    Ok(())
}

fn counts(dev: &Device<Bound>) -> Result {
    let pool = bytes(dev, 4 << 20, 0)?;
    let mut blocks = KVec::new();

    pool.alloc_bulk(&mut [], GFP_KERNEL)?;
    for _ in 0..1000 {
        blocks.push(None, GFP_KERNEL)?;
    }
    // 4 GB.
    let flags = GFP_KERNEL | __GFP_NOWARN;
    ensure!(pool.alloc_bulk(&mut blocks, flags) == Err(ENOMEM));
    ensure!(blocks.iter().all(Option::is_none));
    drop(blocks);
    pool.shrink();

    let small = bytes(dev, 64, 0)?;
    small.prefill(0, GFP_KERNEL)?;
    small.prefill(65, GFP_KERNEL)?;
    let pages = small.statistics().pages;
    for count in [1 << 40, usize::MAX / 64, usize::MAX] {
        ensure!(small.prefill(count, GFP_KERNEL) == Err(ENOMEM));
        ensure!(small.prefill(count, GFP_ATOMIC) == Err(ENOMEM));
    }
    // Nothing was tried that could not succeed.
    ensure!(small.statistics().pages == pages);
    Ok(())
}

fn options(dev: &Device<Bound>) -> Result {
    let new = |size, options| -> Result<_> {
        Pool::<[u8]>::new_with(
            dev,
            c"odd options",
            Geometry::try_new(dev, size, 0, 0)?,
            options,
        )
    };

    for min_nr in [Options::MOST_RESERVED + 1, usize::MAX] {
        ensure!(new(64, Options::new().min_nr(min_nr)).err() == Some(EINVAL));
    }
    let most = Options::new().min_nr(Options::MOST_RESERVED);
    ensure!(new(8 << 20, most).err() == Some(ENOMEM));
    ensure!(NumaNode::new(-2).is_err() && NumaNode::new(i32::MIN).is_err());
    ensure!(NumaNode::new(i32::MAX).is_err());
    Ok(())
}

/// Tokens that were made up.
fn tokens(dev: &Device<Bound>) -> Result {
    for size in [1, 64, 4096, 1 << 20] {
        let geometry = Geometry::try_new(dev, size, 0, 0)?;
        let options = Options::new().tokens();
        let pool = Pool::<[u8]>::new_with(dev, c"odd tokens", geometry, options)?;
        let raw = pool.alloc(GFP_KERNEL)?.into_raw()?;
        let mut bits = 1u64;

        for high in EXTREMES {
            for low in EXTREMES {
                // CAST: Whatever is left of them.
                let bits = (high as u64) << 32 | u64::from(low as u32);
                ensure!(pool.from_raw(RawBlock::from_bits(bits)).is_err());
            }
        }
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            if RawBlock::from_bits(bits) != raw {
                ensure!(pool.from_raw(RawBlock::from_bits(bits)).is_err());
            }
        }
        drop(pool.from_raw(raw)?);
        ensure!(pool.from_raw(raw).is_err());
    }
    Ok(())
}

struct OddDriver;

struct OddData;

impl OddData {
    fn new(pdev: &pci::Device<Core<'_>>) -> Result<Self> {
        use kernel::dma::Device;

        // SAFETY: Nobody allocates DMA memory for this device yet.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<64>())? };

        let dev = pdev.as_ref();
        geometries()?;
        parts(dev)?;
        large(dev)?;
        options(dev)?;
        tokens(dev)?;
        copies(dev)?;
        counts(dev)?;
        pr_info!("summary all refused\n");
        Ok(Self)
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <OddDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

impl pci::Driver for OddDriver {
    type IdInfo = ();
    type Data<'bound> = OddData;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        OddData::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: OddDriver,
    name: "odd_sizes",
    authors: ["The rust_dmapool authors"],
    description: "Sizes and counts that no driver should ask for",
    license: "GPL v2",
}
