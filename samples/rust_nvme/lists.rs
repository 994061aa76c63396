// SPDX-License-Identifier: GPL-2.0

//! PRP lists, from the pools: where the data of a command lies, page by page.
//!
//! A command has room for two entries. If its data lies in more pages than that, the second one
//! points to a list of the others. A list of 32 is enough for 128 KiB and a bit; a whole page of
//! them, for 2 MiB, which is as much as this driver has a command transfer.

use crate::{
    bridge::{
        Ranges,
        Segment, //
    },
    command::{
        Range,
        PAGE, //
    }, //
};
use kernel::{
    device::Core,
    dma::DmaAddress,
    io::io_write,
    pci,
    prelude::*, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Pool, //
};

const SMALL: usize = 32;
const LARGE: usize = PAGE / size_of::<u64>();

/// Bytes that a command can transfer, wherever its data begins: one entry in the command, and a
/// list.
pub(crate) const MAX_BYTES: usize = LARGE * PAGE;

type Small = [u64; SMALL];
type Large = [u64; LARGE];

/// Where lists come from.
#[derive(Clone, Copy)]
pub(crate) struct ListPools<'bound> {
    small: &'bound Pool<'bound, Small>,
    large: &'bound Pool<'bound, Large>,
}

impl<'bound> ListPools<'bound> {
    pub(crate) fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        let small = Geometry::new::<{ size_of::<Small>() }, { size_of::<Small>() }, 0>();
        let large = Geometry::new::<PAGE, PAGE, 0>();

        Ok(Self {
            small: Pool::new_managed(pdev, c"prp list small", small)?.lend(),
            large: Pool::new_managed(pdev, c"prp list page", large)?.lend(),
        })
    }
}

/// A list of its own for a command, or none.
///
/// The block goes back to its pool when this is dropped, which is in the interrupt handler: as
/// long as the controller works on the command, it reads the list.
pub(crate) enum List<'bound> {
    None,
    Small(Block<'bound, Small>),
    Large(Block<'bound, Large>),
}

/// The two PRP entries of a command.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entries {
    pub(crate) prp1: u64,
    pub(crate) prp2: u64,
}

impl<'bound> List<'bound> {
    /// The entries for data of `len` bytes at `ranges`, with a list if there must be one.
    ///
    /// Any context; takes no memory but from the pools.
    pub(crate) fn of_data(
        &mut self,
        pools: &ListPools<'bound>,
        ranges: &mut Ranges<'_, '_>,
        len: usize,
    ) -> Result<Entries> {
        let mut pages = Pages::new(ranges)?;
        let prp1 = pages.first();
        let rest = len.saturating_sub(pages.first_len());
        let prp2 = match rest.div_ceil(PAGE) {
            0 => 0,
            1 => pages.next()?,
            count if count <= SMALL => {
                let block = pools.small.alloc(GFP_ATOMIC)?;

                pages.write_to(&block, count)?;
                self.hold(List::Small(block))
            }
            count if count <= LARGE => {
                let block = pools.large.alloc(GFP_ATOMIC)?;

                pages.write_to(&block, count)?;
                self.hold(List::Large(block))
            }
            _ => return Err(EINVAL),
        };
        Ok(Entries { prp1, prp2 })
    }

    /// The entries for a list of one range of blocks, which is the data of the command itself.
    pub(crate) fn of_range(&mut self, pools: &ListPools<'bound>, range: Range) -> Result<Entries> {
        let block = pools.small.alloc(GFP_ATOMIC)?;
        let [first, second] = range.words();

        io_write!(block, [build: 0], first);
        io_write!(block, [build: 1], second);
        Ok(Entries {
            prp1: self.hold(List::Small(block)),
            prp2: 0,
        })
    }

    /// Keeps a list, and returns its address.
    #[inline]
    fn hold(&mut self, list: Self) -> DmaAddress {
        let address = match &list {
            List::None => 0,
            List::Small(block) => block.dma_address(),
            List::Large(block) => block.dma_address(),
        };

        *self = list;
        address
    }
}

/// The pages of a transfer, one after the other.
struct Pages<'r, 'm, 'dev> {
    ranges: &'r mut Ranges<'m, 'dev>,
    first: Segment,
    current: Segment,
}

impl<'r, 'm, 'dev> Pages<'r, 'm, 'dev> {
    fn new(ranges: &'r mut Ranges<'m, 'dev>) -> Result<Self> {
        let first = ranges.next()?;
        let mut pages = Self {
            ranges,
            first,
            current: first,
        };

        pages.current.advance(pages.first_len());
        Ok(pages)
    }

    fn first(&self) -> DmaAddress {
        self.first.address
    }

    /// Bytes of the first page from where the data begins.
    fn first_len(&self) -> usize {
        // CAST: Only the offset in the page matters.
        PAGE.wrapping_sub(self.first.address as usize % PAGE)
    }

    /// The address of the next page, all of which is data unless it is the last.
    ///
    /// The block layer has split requests so that only the first page begins, and only the last
    /// ends, in its midst: see `virt_boundary_mask` in `namespace.rs`.
    #[inline]
    fn next(&mut self) -> Result<DmaAddress> {
        if self.current.len == 0 {
            self.current = self.ranges.next()?;
        }
        let address = self.current.address;
        // CAST: Only the offset in the page matters.
        if address as usize % PAGE != 0 {
            return Err(EIO);
        }
        self.current.advance(PAGE);
        Ok(address)
    }

    #[inline]
    fn write_to<const N: usize>(&mut self, block: &Block<'_, [u64; N]>, count: usize) -> Result {
        for index in 0..count {
            io_write!(block, [try: index], self.next()?);
        }
        Ok(())
    }
}
