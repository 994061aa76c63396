// SPDX-License-Identifier: GPL-2.0

//! A slab: a few pages of coherent DMA memory, and a record of which of their blocks are free.
//!
//! The record is ordinary kernel memory. Nothing that a device writes into a page can reach it. It
//! stays until the pool is destroyed, with or without pages, so a stale reference to one is always
//! safe to look at.

use super::super::sys::prelude::*;
use super::{
    layout::{
        distance_of_page,
        Page,
        SlabAllocation,
        SlabLayout,
        HEADER,
        LINE,
        TWIN, //
    },
    owner::Track,
    token_count::TokenCount,
    word::{
        take_bit,
        Word,
        WORD_BITS, //
    },
};
use core::cell::UnsafeCell;
use kernel::alloc::{
    allocator::Kmalloc,
    Allocator, //
};

/// What lies before the words of a slab. The pages lie before that, the last one first.
///
/// # Invariants
///
/// - A bit of `vacant` stands for a page without blocks, that nobody is about to give some. Whoever
///   takes the bit has the page for itself.
/// - A page with blocks has memory, and nobody writes to it but a thread that has taken all of its
///   blocks. Once a page is in the pool's map, nobody writes to it at all.
/// - `exists` has the bits of the blocks that there are, or is all ones if there are and the slab
///   has several words. It gets those of a page after the blocks became free. Whoever is about to
///   take the page back has those bits for as long, so only one does.
/// - Once anybody but its maker has the slab, it stands in a chunk, `chunk` and `number` say where,
///   and neither changes.
#[repr(C)]
pub(super) struct Header {
    pub(super) exists: Word,
    chunk: NonNull<c_void>,
    number: u32,
    pub(super) vacant: Atomic<u32>,
}

static_assert!(size_of::<Header>() == HEADER as usize);

/// The most that a pointer to a slab has room for: what is below its alignment.
const MOST_NUMBER: usize = LINE - 1;

/// A slab, borrowed for as long as its pool lives.
///
/// # Invariants
///
/// This points to the first [`Word`] of a slab: before it are a [`Header`] and the pages, and after
/// it the words, and the counts, states and tracks, that the pool's [`SlabLayout`] asks for. All
/// stay for `'pool`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Slab<'pool>(NonNull<Word>, PhantomData<&'pool Word>);

// SAFETY: Any number of threads may use a slab. All that changes is atomic, or by the invariants of
// `Header` written to only while nobody may read it.
unsafe impl Send for Slab<'_> {}
// SAFETY: As above.
unsafe impl Sync for Slab<'_> {}

impl<'pool> Slab<'pool> {
    /// Allocates a slab of which no page can be claimed yet. Any context that `flags` allow.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(layout: &SlabLayout, flags: Flags, node: NumaNode) -> Result<Self> {
        let allocation = &layout.allocation;
        let memory = Kmalloc::alloc(allocation.whole, flags, node)?.cast::<u8>();

        // SAFETY: The allocation is large enough. Words of zero bits are valid.
        let first = unsafe {
            memory.write_bytes(0, allocation.whole.size());
            memory.byte_add(allocation.words).cast::<Word>()
        };
        // INVARIANT: All that belongs to a slab is in the allocation, and is initialized below.
        let this = Self(first, PhantomData);

        // INVARIANT: No page has memory or blocks, and nobody knows of any.
        // CAST: Widening.
        // SAFETY: The header and the pages lie there, and are aligned as they must be.
        unsafe {
            this.header_ptr().write(Header {
                exists: Word::new(0),
                chunk: NonNull::dangling(),
                number: 0,
                vacant: Atomic::new(0),
            });
            for page in 0..layout.pages {
                this.page_ptr(page).write(UnsafeCell::new(None));
            }
            (layout.state.make)(this.state_of(0, layout), layout.bits() as usize);
            if layout.counts {
                TokenCount::init(this.beside(allocation.counts, 0), layout.bits() as usize);
            }
        }
        Ok(this)
    }

    /// Frees the slab, after it has passed the memory of each page to `end_page`, with the number
    /// of the page.
    ///
    /// # Safety
    ///
    /// The caller must be the only one who has this slab, in whatever form. `layout` must be that
    /// of its pool.
    pub(crate) unsafe fn free(
        self,
        layout: &SlabLayout,
        mut end_page: impl FnMut(u32, Coherent<[u8]>),
    ) {
        for page in 0..layout.pages {
            // SAFETY: The caller has the slab for itself, and it is not used after this.
            if let Some(memory) = unsafe { self.page_ptr(page).read() }.into_inner() {
                end_page(page, memory);
            }
        }
        let SlabAllocation { whole, words, .. } = layout.allocation;

        // CAST: Widening.
        // SAFETY: The slab has so many, and `Kmalloc` made the allocation in `Slab::new`, with this
        // layout.
        unsafe {
            (layout.state.end)(self.state_of(0, layout), layout.bits() as usize);
            Kmalloc::free(self.0.byte_sub(words).cast(), whole);
        }
    }

    /// Makes a slab of what [`Slab::as_raw`] returned.
    ///
    /// # Safety
    ///
    /// `first` must come from [`Slab::as_raw`], and the slab must not have been freed nor be freed
    /// while `'pool` lasts.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(first: NonNull<Word>) -> Self {
        // INVARIANT: The caller vouches for it.
        Self(first, PhantomData)
    }

    /// The pointer as which others keep this slab; aligned to a cache line.
    #[inline(always)]
    pub(crate) fn as_raw(self) -> NonNull<Word> {
        self.0
    }

    /// Makes a slab, and the number with it, of what [`Slab::as_raw_with`] returned, or
    /// [`Slab::as_raw`] with 0.
    ///
    /// # Safety
    ///
    /// `raw` must come from one of these, and the slab be as for [`Slab::from_raw`].
    #[inline(always)]
    pub(crate) unsafe fn from_raw_with(raw: NonNull<Word>) -> (Self, usize) {
        let number = raw.addr().get() & MOST_NUMBER;
        let first = raw.as_ptr().map_addr(|addr| addr & !MOST_NUMBER);

        // SAFETY: That is what `as_raw` returned, and the caller vouches for the slab.
        let slab = unsafe { Self::from_raw(NonNull::new_unchecked(first)) };

        (slab, number)
    }

    /// The same pointer, in which others keep a number as well: that of a page or a word, which is
    /// less than a slab's alignment.
    #[inline(always)]
    pub(crate) fn as_raw_with(self, number: u32) -> NonNull<Word> {
        // CAST: Widening.
        let raw = self.0.as_ptr().map_addr(|addr| addr | number as usize);

        // SAFETY: The slab is not null.
        unsafe { NonNull::new_unchecked(raw) }
    }

    #[inline(always)]
    fn header_ptr(self) -> NonNull<Header> {
        // SAFETY: By the type invariants a header lies there.
        unsafe { self.0.cast::<Header>().sub(1) }
    }

    #[inline(always)]
    pub(super) fn header(self) -> &'pool Header {
        // SAFETY: By the type invariants it lives for `'pool`, and it is never borrowed mutably.
        unsafe { self.header_ptr().as_ref() }
    }

    /// # Safety
    ///
    /// The slab must have a page that stands so far before the words; see [`Place::page`].
    #[inline(always)]
    pub(super) unsafe fn page_before(self, distance: u32) -> NonNull<Page> {
        // SAFETY: By the type invariants the pages lie there.
        unsafe { self.0.byte_sub(distance as usize).cast() }
    }

    /// # Safety
    ///
    /// The slab must have so many pages.
    #[inline(always)]
    pub(super) unsafe fn page_ptr(self, page: u32) -> NonNull<Page> {
        // SAFETY: The caller vouches for the page.
        unsafe { self.page_before(distance_of_page(page)) }
    }

    /// Word `number`.
    ///
    /// # Safety
    ///
    /// The slab must have so many words.
    #[inline(always)]
    pub(crate) unsafe fn word_at(self, number: usize) -> &'pool Word {
        // SAFETY: By the type invariants the word is there, and it lives for `'pool`.
        unsafe { self.0.add(number).as_ref() }
    }

    /// The word with `bit`.
    ///
    /// # Safety
    ///
    /// The slab must have that bit.
    #[inline(always)]
    pub(crate) unsafe fn word(self, bit: u32) -> &'pool Word {
        // SAFETY: The caller vouches for the bit.
        unsafe { self.word_at((bit / WORD_BITS) as usize) }
    }

    /// The words, twins included, with the first bit of each.
    #[inline]
    fn words(self, layout: &SlabLayout) -> impl Iterator<Item = (u32, &'pool Word)> {
        let words = layout.words;
        let parts = if layout.twin == 0 { 1 } else { 2 };

        (0..words.wrapping_mul(parts)).map(move |number| {
            let number = if number < words {
                number
            } else {
                number.wrapping_sub(words).wrapping_add(TWIN / WORD_BITS)
            };

            // SAFETY: By the type invariants there is such a word.
            (number.wrapping_mul(WORD_BITS), unsafe {
                self.word_at(number as usize)
            })
        })
    }
}

/// What stands beside its blocks.
impl<'pool> Slab<'pool> {
    /// What stands beside block `bit`, which is none of a twin, in the array that begins `distance`
    /// bytes from the words.
    ///
    /// # Safety
    ///
    /// There must be such an array, and the slab have that bit.
    #[inline]
    unsafe fn beside<S>(self, distance: usize, bit: u32) -> NonNull<S> {
        // SAFETY: The caller vouches for both.
        // CAST: Widening.
        unsafe { self.0.byte_add(distance).cast::<S>().add(bit as usize) }
    }

    /// The count of block `bit`, which is none of a twin, if blocks can go out.
    pub(crate) fn count_of(self, bit: u32, layout: &SlabLayout) -> Option<&'pool TokenCount> {
        if !layout.counts || bit >= layout.bits() {
            return None;
        }
        // SAFETY: By the type invariants the slab has that many, which live for `'pool`.
        Some(unsafe { self.beside(layout.allocation.counts, bit).as_ref() })
    }

    /// What is noted of the owner of block `bit`, which is none of a twin, if anything is.
    pub(crate) fn track_of(self, bit: u32, layout: &SlabLayout) -> Option<&'pool Track> {
        if !layout.tracks || bit >= layout.bits() {
            return None;
        }
        // SAFETY: As above. All zeroes, as which they begin, is one without an owner.
        Some(unsafe { self.beside(layout.allocation.tracks, bit).as_ref() })
    }

    /// What the driver has beside the block of `bit`, which may be that of a twin.
    ///
    /// # Safety
    ///
    /// The slab must have that bit, and the pool such values.
    #[inline]
    pub(crate) unsafe fn state_of<S>(self, bit: u32, layout: &SlabLayout) -> NonNull<S> {
        // SAFETY: There is one for each bit that is none of a twin.
        unsafe { self.beside(layout.allocation.states, bit & !layout.twin) }
    }
}

/// Its place in a chunk.
impl<'pool> Slab<'pool> {
    /// Notes that the slab is to be slab `number` of the pool, in `chunk`.
    ///
    /// # Safety
    ///
    /// The slab must not be in a chunk yet, and the caller must be the only one who has it.
    pub(crate) unsafe fn link(self, chunk: NonNull<c_void>, number: u32) {
        let header = self.header_ptr().as_ptr();

        // SAFETY: The caller is the only one who has the slab.
        unsafe {
            (&raw mut (*header).chunk).write(chunk);
            (&raw mut (*header).number).write(number);
        }
    }

    /// The chunk in which the slab stands, as [`Slab::link`] got it.
    #[inline]
    pub(super) fn chunk_ptr(self) -> NonNull<c_void> {
        self.header().chunk
    }

    /// The number of the slab in its pool.
    pub(crate) fn number(self) -> u32 {
        self.header().number
    }
}

/// Its blocks.
impl<'pool> Slab<'pool> {
    /// The bits of blocks that there are; see [`Header`].
    ///
    /// Relaxed: whoever has seen a bit finds it again. What is done to a word because of this comes
    /// after it, as with C's `READ_ONCE()`.
    #[inline(always)]
    pub(crate) fn exists(self) -> u64 {
        self.header().exists.bits()
    }

    /// Takes a free block, and returns its bit. `None` if there is none.
    pub(crate) fn take(self, layout: &SlabLayout) -> Option<u32> {
        // Nobody takes a block before it exists, where that matters.
        let exists = if layout.checked {
            self.exists()
        } else {
            u64::MAX
        };

        self.words(layout)
            .find_map(|(first, word)| word.take_first(exists).map(|bit| first | bit))
    }

    /// Takes `bit`, if it is set. Returns whether it was.
    ///
    /// For callers to whom it does not matter what else is in its word.
    ///
    /// # Safety
    ///
    /// The slab must have that bit.
    #[inline(always)]
    pub(crate) unsafe fn take_bit(self, bit: u32) -> bool {
        // SAFETY: The caller vouches for the bit, and so for its word.
        // CAST: Widening.
        unsafe { take_bit(self.0, bit as usize) }
    }

    /// Gives `bit` back, and with it its block. Returns whether its word had no free block, so that
    /// nobody may know that the slab has one now.
    ///
    /// # Safety
    ///
    /// The caller must have taken the block, and must not use it after this.
    #[inline(always)]
    pub(crate) unsafe fn give(self, bit: u32) -> bool {
        // SAFETY: The block is taken, so there are its bits.
        unsafe { self.word(bit) }.give(1u64.wrapping_shl(bit))
    }

    /// Gives back `bit`, if it is that of a block that is allocated. Returns as [`Slab::give`], or
    /// `None` if the block is free.
    ///
    /// # Safety
    ///
    /// - The pool must have single bits, and its map lead to the page.
    /// - If the block is allocated, it must be the caller's, and not be used after this.
    #[inline(always)]
    pub(crate) unsafe fn try_give(self, bit: u32) -> Option<bool> {
        // SAFETY: There is such a block, so there is its bit.
        unsafe { self.word(bit) }.try_give(bit)
    }

    /// Whether the slab has a free block; a snapshot.
    pub(crate) fn has_free(self, layout: &SlabLayout) -> bool {
        self.words(layout).any(|(_, word)| word.bits() != 0)
    }

    /// How many free blocks the slab has; a snapshot. If blocks are allocated and freed meanwhile,
    /// some may be counted twice.
    pub(crate) fn count_free(self, layout: &SlabLayout) -> u32 {
        self.words(layout).fold(0, |sum, (_, word)| {
            sum.wrapping_add(word.bits().count_ones())
        })
    }

    /// How many blocks the slab has; a snapshot.
    pub(crate) fn count(self, layout: &SlabLayout) -> u32 {
        match self.exists() {
            0 => 0,
            exists if layout.words == 1 => exists.count_ones(),
            _ => layout.geometry.blocks_per_page(),
        }
    }

    /// Whether there is the block of `bit`, which is none of a twin, and it is allocated; a
    /// snapshot.
    pub(crate) fn is_allocated(self, bit: u32, layout: &SlabLayout) -> bool {
        // SAFETY: The caller names a bit that the slab has, and a twin only if there are twins.
        let is_set = |bit| unsafe { self.word(bit) }.bits() & 1u64.wrapping_shl(bit) != 0;

        // Acquire: what is read after that comes after the blocks were added.
        self.header().exists.bits_acquire() & 1u64.wrapping_shl(bit) != 0
            && !is_set(bit)
            && !(layout.twin != 0 && is_set(bit | layout.twin))
    }
}
