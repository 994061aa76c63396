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
    },
    pool::{
        Block,
        Geometry,
        Options,
        Pool, //
    }, //
};
use core::mem;
use kernel::{
    device::Core,
    dma::DmaAddress,
    io::{
        io_write,
        IoBase, //
    },
    pci,
    prelude::*, //
};

const SMALL: usize = 32;
const LARGE: usize = PAGE / size_of::<u64>();

/// Bytes that a command can transfer, wherever its data begins: one entry in the command, and a
/// list.
pub(crate) const MAX_BYTES: usize = LARGE * PAGE;

/// Lists that there are even if the system has no memory left. Some of what is written then is
/// written to free memory, so a transfer must be possible; one suffices for that, a few go faster.
const RESERVE: usize = 4;

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
        let options = Options::new().min_nr(RESERVE);

        Ok(Self {
            small: Pool::new_managed_with(pdev, c"prp list small", small, options)?.lend(),
            large: Pool::new_managed_with(pdev, c"prp list page", large, options)?.lend(),
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
        let prp1 = pages.first;
        let rest = len.saturating_sub(pages.first_len());
        let prp2 = match rest.div_ceil(PAGE) {
            0 => 0,
            1 => pages.next_piece()?.address,
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
///
/// The block layer has split requests so that only the first page begins, and only the last one
/// ends, in its midst: see `virt_boundary_mask` in `controller.rs`. Were it otherwise, entries
/// could not say so, and it would be an error here.
struct Pages<'r, 'm, 'dev> {
    ranges: &'r mut Ranges<'m, 'dev>,
    first: DmaAddress,
    /// What comes next, as far as it is known.
    current: Segment,
}

impl<'r, 'm, 'dev> Pages<'r, 'm, 'dev> {
    #[inline]
    fn new(ranges: &'r mut Ranges<'m, 'dev>) -> Result<Self> {
        let mut current = ranges.next()?;
        let first = current.address;

        current.advance(PAGE.wrapping_sub(offset_in_page(first)));
        Ok(Self {
            ranges,
            first,
            current,
        })
    }

    /// Bytes of the first page from where the data begins.
    #[inline]
    fn first_len(&self) -> usize {
        PAGE.wrapping_sub(offset_in_page(self.first))
    }

    /// A piece that begins with the next page.
    #[inline]
    fn next_piece(&mut self) -> Result<Segment> {
        if self.current.len == 0 {
            self.current = self.ranges.next()?;
        }
        if offset_in_page(self.current.address) != 0 {
            return Err(EIO);
        }
        Ok(mem::replace(&mut self.current, Segment::NONE))
    }

    /// Writes the addresses of the next `count` pages.
    #[inline]
    fn write_to<const N: usize>(&mut self, block: &Block<'_, [u64; N]>, count: usize) -> Result {
        // The DMA address of each entry is of no interest, and takes time to compute.
        let list = block.as_view().as_sys_mem();
        let mut index = 0;

        while index < count {
            let piece = self.next_piece()?;
            let end = index.saturating_add(piece.len.div_ceil(PAGE)).min(count);
            if end < count && piece.len % PAGE != 0 {
                return Err(EIO);
            }
            let mut address = piece.address;
            for entry in index..end {
                io_write!(list, [try: entry], address);
                // CAST: Widening.
                address = address.wrapping_add(PAGE as DmaAddress);
            }
            index = end;
        }
        Ok(())
    }
}

#[inline]
fn offset_in_page(address: DmaAddress) -> usize {
    // CAST: Only the lower bits matter.
    address as usize % PAGE
}
