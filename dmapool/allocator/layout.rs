// SPDX-License-Identifier: GPL-2.0

//! How the blocks of a pool are numbered: which bit of a slab stands for which block, and where
//! that lies.
//!
//! A slab has words of 64 bits, and one page of memory or several. Bit `n` stands for block
//! `n % 2^shift` of page `n >> shift`. If a word has bits for the blocks of two pages or more, a
//! slab has several pages, 32 at most, and one word. Else it has one page, and words for all of its
//! blocks.
//!
//! In most pools two bits stand for a block, its *twins*, which lie in different cache lines. While
//! the block is free one of them is set, and while it is allocated none. It may be given back by
//! either. As a rule that is the bit by which it was taken: so blocks are used again while they are
//! in the CPU's cache. But where one CPU allocates what another one frees, both would write to the
//! same line all the time. A CPU that notices this has its blocks given back by their other twin:
//! it takes bits of one word until there are none left, and then goes on to their twins, which
//! others have set meanwhile.
//!
//! A single bit stands for a block
//!
//! - if frees are checked: one operation on one word must tell whether the block is free;
//! - if a page has more blocks than there are bits in a cache line.

use super::super::sys::prelude::*;
use super::{
    geometry::RawGeometry,
    options::Options,
    owner::Track,
    policy::{
        parameters,
        Policy, //
    },
    state::{
        StateLayout,
        MOST_ALIGN, //
    },
    token_count::TokenCount,
    word::{
        lowest,
        WORD_BITS, //
    },
};
use core::{
    alloc::Layout,
    cell::UnsafeCell, //
};

/// Bytes of a cache line. The words of a slab begin one, and their twins the next. No two slabs are
/// in one, because CPUs write to them all the time.
pub(crate) const LINE: usize = 64;

static_assert!(MOST_ALIGN <= LINE);

/// How far apart twins are, in bits: a cache line.
pub(crate) const TWIN: u32 = 512;

/// What a page takes in the record of its slab, in bytes.
// CAST: Some words.
const RECORD_OF_PAGE: u32 = size_of::<Page>() as u32;

/// The memory of a page, if it has some.
pub(crate) type Page = UnsafeCell<Option<Coherent<[u8]>>>;

/// What stands between the pages and the words of a slab, in bytes.
pub(crate) const HEADER: u32 = 24;

/// The most pages of a slab. With more, slabs of few pages would be larger than the pages' worth.
const MOST_PAGES: u32 = 32;

/// How a slab lies in memory.
pub(crate) struct SlabAllocation {
    pub(crate) whole: Layout,
    /// Where in the allocation the words begin, in bytes.
    pub(crate) words: usize,
    /// Where the counts of blocks that go out begin, in bytes from the words.
    pub(crate) counts: usize,
    /// Where what the driver has beside its blocks begins, in bytes from the words.
    pub(crate) states: usize,
    /// Where what is noted of their owners begins, in bytes from the words.
    pub(crate) tracks: usize,
}

impl SlabAllocation {
    fn new(
        [pages, words, twin]: [u32; 3],
        [counts, tracks]: [bool; 2],
        state: &StateLayout,
    ) -> Result<Self> {
        let bits = words.wrapping_mul(WORD_BITS);
        // Nothing here can overflow: there are at most 32 pages and 4,096 bits.
        let before = RECORD_OF_PAGE.wrapping_mul(pages).wrapping_add(HEADER);
        let before = (before as usize).next_multiple_of(LINE);
        let size_of_words = bits.wrapping_add(twin) as usize / u8::BITS as usize;
        let count_if = |needed| if needed { bits as usize } else { 0 };
        let words = Layout::from_size_align(before.wrapping_add(size_of_words), LINE);
        let overflow = |_| EOVERFLOW;

        let (whole, counts) = words
            .and_then(|layout| layout.extend(Layout::array::<TokenCount>(count_if(counts))?))
            .map_err(overflow)?;
        let (whole, states) = whole.extend(state.array(bits)?).map_err(overflow)?;
        let (whole, tracks) = Layout::array::<Track>(count_if(tracks))
            .and_then(|tracks| whole.extend(tracks))
            .map_err(overflow)?;

        Ok(Self {
            whole: whole.pad_to_align(),
            words: before,
            counts: counts.wrapping_sub(before),
            states: states.wrapping_sub(before),
            tracks: tracks.wrapping_sub(before),
        })
    }
}

/// What all slabs of a pool have in common.
///
/// # Invariants
///
/// - `words` words have a bit for each block of a page; at most 64, and 8 if there are twins.
/// - `pages` is a power of two, and 1 if there are several words.
/// - A block's bit, but for twins, is its index in its page plus the number of the page in the slab
///   shifted by `shift`.
pub(crate) struct SlabLayout {
    pub(crate) geometry: RawGeometry,
    /// Whether blocks can go out, as tokens or by their addresses.
    pub(crate) counts: bool,
    /// Whether it is noted who has which block.
    pub(crate) tracks: bool,
    /// What stands beside each block.
    pub(crate) state: StateLayout,
    pub(crate) allocation: SlabAllocation,
    /// Whether blocks are freed by their addresses, and so may be freed wrongly.
    pub(crate) checked: bool,
    /// The logarithm to base 2 of a page's bytes, rounded down.
    pub(crate) page_order: u8,
    /// Words with the bits of blocks, not counting those with twins.
    pub(crate) words: u32,
    /// Pages of DMA memory.
    pub(crate) pages: u32,
    /// [`TWIN`] if blocks have twins, else 0.
    pub(crate) twin: u32,
    shift: u32,
    /// What leaves of a bit that of the block's other twin.
    bit_mask: u32,
    /// The places of all blocks, by their bits, but for these.
    places: Pin<KVBox<[u64]>>,
    /// Blocks of a page, if nothing more is to be done when they are freed, and they are dense.
    pub(crate) plain_blocks: u32,
    /// The same if they have gaps.
    pub(crate) plain_with_gaps: u32,
}

impl SlabLayout {
    pub(crate) fn new(geometry: RawGeometry, options: &Options, policy: &Policy) -> Result<Self> {
        // There is more to do when a block is freed than to give its bit back.
        let slow_free = policy.debug || policy.on_free().is_some();
        let blocks = geometry.blocks_per_page();
        let shift = blocks
            .checked_next_power_of_two()
            .unwrap_or(1)
            .trailing_zeros();
        let words = blocks.div_ceil(WORD_BITS);
        let bits = words
            .checked_next_power_of_two()
            .unwrap_or(1)
            .wrapping_mul(WORD_BITS);
        let marks = if slow_free { SLOW_FREE } else { 0 };
        let plain = if slow_free { 0 } else { blocks };
        let is_dense = geometry.is_dense();
        let place = |bit: usize| {
            // CAST: At most 4,096.
            let bit = bit as u32;
            let offset = geometry.offset_of(bit & 1u32.wrapping_shl(shift).wrapping_sub(1));
            let page = distance_of_page(bit.wrapping_shr(shift)) << PAGE_SHIFT | marks;

            Ok::<_, Error>(u64::from(offset) << u32::BITS | u64::from(page))
        };
        let checked = options.checked_frees;
        let counts = options.tokens || options.addresses;
        let tracks = parameters().has_tracks();
        let pages = WORD_BITS.wrapping_shr(shift).clamp(1, MOST_PAGES);
        let twin = if checked || blocks > TWIN { 0 } else { TWIN };

        // INVARIANT: A geometry has at most 4,096 blocks a page. With more than 32, a slab has one
        // page.
        Ok(Self {
            geometry,
            counts,
            tracks,
            state: options.state,
            allocation: SlabAllocation::new(
                [pages, words, twin],
                [counts, tracks],
                &options.state,
            )?,
            checked,
            // CAST: A page has less than 2^32 bytes.
            page_order: geometry.page_size().checked_ilog2().unwrap_or(0) as u8,
            words,
            pages,
            twin,
            shift,
            bit_mask: bits.wrapping_sub(1),
            places: KVBox::pin_slice(place, bits as usize, GFP_KERNEL)?,
            plain_blocks: if is_dense { plain } else { 0 },
            plain_with_gaps: if is_dense { 0 } else { plain },
        })
    }

    /// For models, which are too small for several slabs otherwise.
    #[cfg(CONFIG_RUST_DMAPOOL_KUNIT_TEST)]
    pub(crate) fn limit_pages(&mut self, pages: u32) {
        // INVARIANT: A power of two, and not more than there were.
        self.pages = pages.min(self.pages);
    }

    /// The bit of the first block of a page of the slab.
    #[inline(always)]
    pub(crate) fn first_bit(&self, page: u32) -> u32 {
        page.wrapping_shl(self.shift)
    }

    /// The bit of the block of a page that begins `offset` bytes from there, if one does.
    pub(crate) fn bit_at(&self, page: u32, offset: u64) -> Option<u32> {
        Some(self.first_bit(page) | self.geometry.index_at(offset)?)
    }

    /// The bits of the blocks of a page in word `word`, which is none with twins.
    pub(crate) fn bits_of_page(&self, page: u32, word: u32) -> u64 {
        let before = word.wrapping_mul(WORD_BITS);
        let blocks = self.geometry.blocks_per_page().saturating_sub(before);

        lowest(blocks.min(WORD_BITS)).wrapping_shl(self.first_bit(page))
    }

    /// What stands for all bits of the first word that a page has, or, if there are several words,
    /// for all of them: see [`Slab::exists`](super::slab::Slab::exists).
    pub(crate) fn existence_of_page(&self, page: u32) -> u64 {
        if self.words == 1 {
            self.bits_of_page(page, 0)
        } else {
            u64::MAX
        }
    }

    /// Whether `bit` stands for a block, if there is its page.
    pub(crate) fn is_block(&self, bit: u32) -> bool {
        bit & 1u32.wrapping_shl(self.shift).wrapping_sub(1) < self.geometry.blocks_per_page()
    }

    /// The most bits of a slab, not counting twins.
    pub(crate) fn bits(&self) -> u32 {
        self.words.wrapping_mul(WORD_BITS)
    }

    /// The place of the block for which `bit` stands. It is to be given back by that bit, or by its
    /// twin if `flip` is [`TWIN`].
    #[inline(always)]
    pub(crate) fn place_of(&self, bit: u32, flip: u32) -> Place {
        // SAFETY: By the type invariants there are so many.
        let place = unsafe { self.places.get_unchecked((bit & self.bit_mask) as usize) };

        Place(place | u64::from(bit ^ flip))
    }
}

/// How far before the words of a slab a page stands, in bytes.
#[inline(always)]
pub(crate) fn distance_of_page(page: u32) -> u32 {
    page.wrapping_mul(RECORD_OF_PAGE)
        .wrapping_add(HEADER + RECORD_OF_PAGE)
}

/// The place of a block in its slab: where the slab has the page, the distance from the beginning
/// of the page in bytes, and which bit to give back when the block is freed; and whether there is
/// more to do then.
///
/// All in one integer, so that a block is two registers. A free looks at nothing that other CPUs
/// write to before it gives the bit back, so it moves the cache line of the bit once, not twice.
#[derive(Clone, Copy)]
pub(crate) struct Place(u64);

/// The bit of a [`Place`] that says whether there is more to do when the block is freed.
const SLOW_FREE: u32 = 1 << 15;

/// Where it begins in a [`Place`] how far before the words of the slab its page stands.
const PAGE_SHIFT: u32 = 16;

impl Place {
    #[inline(always)]
    pub(crate) fn has_slow_free(self) -> bool {
        self.lower() & SLOW_FREE != 0
    }

    #[inline(always)]
    fn lower(self) -> u32 {
        // CAST: The lower half.
        self.0 as u32
    }

    /// The bit to give back.
    #[inline(always)]
    pub(crate) fn bit(self) -> u32 {
        self.lower() & (SLOW_FREE - 1)
    }

    /// How far before the words of the slab its page stands, in bytes.
    #[inline(always)]
    pub(crate) fn page(self) -> u32 {
        self.lower() >> PAGE_SHIFT
    }

    /// The addresses of the block in the memory of its page, for the CPU and for the device.
    #[inline(always)]
    pub(crate) fn addresses(self, page: &Coherent<[u8]>) -> (*mut u8, DmaAddress) {
        (
            // CAST: An offset fits a `usize`.
            page.as_mut_ptr()
                .cast::<u8>()
                .wrapping_add(self.offset() as usize),
            page.dma_address().wrapping_add(self.offset().into()),
        )
    }

    /// In bytes, from the beginning of the page.
    #[inline(always)]
    fn offset(self) -> u32 {
        // CAST: The upper half.
        (self.0 >> u32::BITS) as u32
    }
}
