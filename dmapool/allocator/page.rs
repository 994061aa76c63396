// SPDX-License-Identifier: GPL-2.0

//! The pages of a slab: which are vacant, how one gets memory and blocks, and loses both.
//!
//! What must hold of them is said where the slab has what tells it: at its header.

use super::super::sys::prelude::*;
use super::{
    layout::{
        distance_of_page,
        Place,
        SlabLayout, //
    },
    slab::Slab,
    word::{
        lowest,
        read_once,
        WORD_BITS, //
    },
};

impl<'pool> Slab<'pool> {
    /// Has all pages of a new slab be vacant but one, which is the caller's: others could be
    /// faster.
    ///
    /// # Safety
    ///
    /// To be called once.
    pub(crate) unsafe fn open(self, layout: &SlabLayout) -> u32 {
        // INVARIANT: Nobody has one of the others.
        // Release: as in `vacate`.
        // CAST: There are at most 32.
        let others = lowest(layout.pages) as u32 & !1;

        self.header().vacant.fetch_add(others, Release);
        0
    }

    /// Takes a vacant page, which is the caller's then.
    ///
    /// Acquire: pairs with [`Slab::vacate`].
    pub(crate) fn claim_page(self) -> Option<u32> {
        let vacant = &self.header().vacant;
        let mut pages = read_once(vacant);

        while pages != 0 {
            match vacant.cmpxchg(pages, pages & pages.wrapping_sub(1), Acquire) {
                Ok(_) => return Some(pages.trailing_zeros()),
                Err(now) => pages = now,
            }
        }
        None
    }

    /// Gives back a page that the caller has claimed, or has taken the blocks of.
    ///
    /// Release: pairs with [`Slab::claim_page`].
    pub(crate) fn vacate(self, page: u32) {
        self.header()
            .vacant
            .fetch_add(1u32.wrapping_shl(page), Release);
    }

    /// How many blocks of a page are allocated; a snapshot.
    pub(crate) fn count_live(self, page: u32, layout: &SlabLayout) -> u64 {
        let first = layout.first_bit(page);

        // `count()` could panic, as far as the compiler knows.
        (0..layout.geometry.blocks_per_page()).fold(0, |sum, index| {
            sum.wrapping_add(self.is_allocated(first | index, layout).into())
        })
    }

    /// The memory of a page.
    ///
    /// # Safety
    ///
    /// The slab must have the page. The caller must have taken a block of it, and not give it back
    /// while it uses the result; or the page must be in the pool's map; or it must have blocks, and
    /// nobody else use the pool.
    #[inline(always)]
    pub(crate) unsafe fn memory(self, page: u32) -> &'pool Coherent<[u8]> {
        // SAFETY: The caller vouches for the same.
        unsafe { self.memory_before(distance_of_page(page)) }
    }

    /// The memory of the page at a [`Place`].
    ///
    /// # Safety
    ///
    /// As [`Slab::memory`], and the place must be one of the slab's.
    #[inline(always)]
    pub(crate) unsafe fn memory_at(self, place: Place) -> &'pool Coherent<[u8]> {
        // SAFETY: The caller vouches for the same.
        unsafe { self.memory_before(place.page()) }
    }

    /// # Safety
    ///
    /// As [`Slab::memory`], for the page that stands so far before the words.
    #[inline(always)]
    unsafe fn memory_before(self, distance: u32) -> &'pool Coherent<[u8]> {
        // SAFETY: By the invariants of `Header`, in each case there is memory, and nobody replaces
        // it.
        unsafe {
            (*self.page_before(distance).as_ref().get())
                .as_ref()
                .unwrap_unchecked()
        }
    }

    /// The memory of a page that the caller has for itself, if there is some.
    ///
    /// # Safety
    ///
    /// The caller must have claimed the page, and not have given it blocks, or nobody else use the
    /// pool; and there must be no other reference to its memory.
    pub(crate) unsafe fn claimed(self, page: u32) -> &'pool mut Option<Coherent<[u8]>> {
        // SAFETY: The page is one of the slab's, and by the invariants of `Header` nobody else's.
        unsafe { &mut *self.page_ptr(page).as_ref().get() }
    }

    /// Makes blocks of the memory of a page. All are free but the first one if it is the caller's.
    ///
    /// In a pool whose frees are checked nobody takes one before [`Slab::add_existence`]. Elsewhere
    /// a CPU that allocates from the slab may take one at once.
    ///
    /// # Safety
    ///
    /// The caller must have claimed the page and given it memory. If `first_is_taken`, the first
    /// block is the caller's.
    pub(crate) unsafe fn fill_words(self, page: u32, first_is_taken: bool, layout: &SlabLayout) {
        for word in 0..layout.words {
            let first = word.wrapping_mul(WORD_BITS);
            let mut bits = layout.bits_of_page(page, word);

            if first_is_taken && word == 0 {
                // The lowest one.
                bits &= bits.wrapping_sub(1);
            }
            // INVARIANT: There is memory. The release in `Word::give` shows it to who takes a bit.
            // SAFETY: The layout says how many words there are.
            unsafe { self.word(first) }.give(bits);
        }
    }

    /// Has the blocks of a page exist.
    ///
    /// Release, in `Word::give`: a thread that sees this sees the words as they are now or later,
    /// and finds the page in the map.
    ///
    /// # Safety
    ///
    /// [`Slab::fill_words`] must have been called, once, and the map, if there is one of pages,
    /// lead to the page.
    pub(crate) unsafe fn add_existence(self, page: u32, layout: &SlabLayout) {
        // INVARIANT: The caller vouches for it.
        self.header().exists.give(layout.existence_of_page(page));
    }

    /// Takes the memory away from a page if all its blocks are free. It is vacant after this, but
    /// for [`Slab::vacate`], which is up to the caller.
    ///
    /// If this returns [`None`], a search may have found no free block in the slab meanwhile: then
    /// the caller must publish it.
    ///
    /// # Safety
    ///
    /// No map may lead to the page.
    pub(crate) unsafe fn take_page(self, page: u32, layout: &SlabLayout) -> Option<Coherent<[u8]>> {
        let bits = |word| layout.bits_of_page(page, word);
        let existence = layout.existence_of_page(page);
        let mut taken = 0;

        // Somebody else may be about to do the same, or to add the blocks. Taken before the words
        // and not only looked at: else the page could go and get other blocks in between, which
        // this thread would take away from under whoever is about to have them exist.
        if self.header().exists.take(existence) & existence == 0 {
            return None;
        }
        while taken < layout.words && self.take_all(taken, bits(taken), layout) {
            taken = taken.wrapping_add(1);
        }
        if taken < layout.words {
            for word in 0..taken {
                // SAFETY: The words were there to be taken from.
                unsafe { self.word(word.wrapping_mul(WORD_BITS)) }.give(bits(word));
            }
            self.header().exists.give(existence);
            return None;
        }
        // INVARIANT: No block of the page is free or anybody's but this thread's, which forgets it.
        // SAFETY: This thread has taken all blocks, and by the requirements no map leads to the
        // page. So nobody else accesses the memory.
        unsafe { (*self.page_ptr(page).as_ref().get()).take() }
    }

    /// Takes all of `bits` of a word, or their twins, if all of these blocks are free. Returns
    /// whether it did.
    fn take_all(self, word: u32, bits: u64, layout: &SlabLayout) -> bool {
        let first = word.wrapping_mul(WORD_BITS);
        // SAFETY: There is such a word.
        let single = unsafe { self.word(first) };
        let taken = single.take(bits) & bits;
        if taken == bits {
            return true;
        }
        let rest = bits & !taken;
        if layout.twin != 0 {
            // SAFETY: There is a twin of each bit.
            let twins = unsafe { self.word(first | layout.twin) };

            let twins_taken = twins.take(rest) & rest;
            if twins_taken == rest {
                return true;
            }
            if twins_taken != 0 {
                twins.give(twins_taken);
            }
        }
        if taken != 0 {
            single.give(taken);
        }
        false
    }
}
