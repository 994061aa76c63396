// SPDX-License-Identifier: GPL-2.0

//! A page of a pool: one area of coherent DMA memory, and the record that says which of its blocks
//! are free.
//!
//! The record is ordinary kernel memory. Nothing that a device writes into the page can reach it.
//! Once it stands in the page table a record stays until the pool is dropped, with or without
//! memory, so a stale reference to one is always safe to look at.

use crate::{
    bitmap::{
        lowest,
        read_once,
        Word,
        WORD_BITS, //
    },
    block::Taken,
    common::Common,
    geometry::{
        Geometry,
        Place, //
    },
    table::Node,
    tokens::Count, //
};
use core::{
    alloc::Layout,
    cell::UnsafeCell,
    marker::PhantomData,
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        allocator::Kmalloc,
        Allocator,
        Flags,
        NumaNode, //
    },
    dma::{
        Coherent,
        DmaAddress, //
    },
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    }, //
};

/// The record of a page. Its bitmap of free blocks follows it in memory, and then, if the pool has
/// tokens, a [`Count`] for each block.
///
/// # Invariants
///
/// - The allocation that begins with this record holds as many initialized [`Word`]s as a page of
///   the pool has at most, at [`BITMAP`] bytes from its beginning; and after these, if `number` has
///   [`TOKENS`] set, as many initialized [`Count`]s as a page has blocks at most.
/// - If a bit of the bitmap is set, or a thread has taken one and not given it back, then `memory`
///   is `Some`, and nobody writes to `memory` or `blocks`, except for a thread that has taken all
///   bits, and to `blocks` for the one that fills the page.
/// - For a thread that has taken a bit, the bit's number is below `blocks`, and `memory` holds that
///   many blocks.
/// - If frees are checked, then for a thread that sees more `blocks` than its number a clear bit is
///   that of a block that somebody has taken.
/// - If `blocks` is 0 in all threads' eyes, `memory` belongs to the thread that the page was given
///   to as vacant; but once it is in the pool's [`Index`] nobody writes to it.
/// - There is a word number `hint`.
/// - If the page stands in a page table, then `leaf` and `number` say where, and never change.
///
/// [`Index`]: crate::index::Index
#[repr(C)]
pub(crate) struct Record {
    memory: UnsafeCell<Option<Coherent<[u8]>>>,
    leaf: Option<NonNull<Node>>,
    /// The page's number, [`SLOW_FREE`] and [`TOKENS`].
    number: u32,
    /// The word that a block was last taken from, where there are probably more.
    hint: Atomic<i16>,
    /// Blocks of the page, 0 if nobody can have one.
    blocks: Atomic<i16>,
}

/// The bit of [`Record::number`] that says whether there is more to do when a block is freed.
const SLOW_FREE: u32 = 1 << 31;

/// The bit of [`Record::number`] that says whether there are counts of tokens.
const TOKENS: u32 = 1 << 30;

/// A page without blocks or memory, in no page table, that belongs to every pool.
static NOTHING: Nothing = Nothing {
    record: Record {
        memory: UnsafeCell::new(None),
        leaf: None,
        number: 0,
        hint: Atomic::new(0),
        blocks: Atomic::new(0),
    },
    bitmap: Word::new(0),
};

/// A record with a bitmap of one word, in a cache line of its own.
#[repr(C, align(64))]
struct Nothing {
    record: Record,
    bitmap: Word,
}

// SAFETY: Nobody ever writes to `memory`, since there is no bit to take.
unsafe impl Sync for Nothing {}

// With a bitmap of one word, a record is one cache line, and not part of another record's.
static_assert!(size_of::<Nothing>() <= 64);

/// Where the bitmap begins, in bytes from the beginning of the record.
const BITMAP: usize = offset_of!(Nothing, bitmap);

/// A page, borrowed for as long as its pool lives.
///
/// # Invariants
///
/// `0` points to the beginning of a live allocation that holds a [`Record`] and its bitmap, both
/// of which stay for `'pool`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Page<'pool>(NonNull<Record>, PhantomData<&'pool Record>);

// SAFETY: A page is shared by nature: the bitmap is atomic, and by the invariants of `Record`
// everything else is either constant or accessed by the one thread that has all bits.
unsafe impl Send for Page<'_> {}
// SAFETY: As above.
unsafe impl Sync for Page<'_> {}

impl Record {
    /// How a record lies in memory, and where the counts of tokens begin, in bytes.
    fn layout(common: &Common) -> Result<(Layout, usize)> {
        // More than one page is only joined if one word is enough for all their blocks.
        let words = common.geometry.blocks_per_page().div_ceil(WORD_BITS);
        let counts = if common.tokens {
            common.geometry.most_blocks()
        } else {
            0
        };
        // CAST: `usize` has at least 32 bits on every architecture that runs Rust.
        let bitmap = Layout::array::<Word>(words as usize).map_err(|_| EOVERFLOW)?;
        let counts = Layout::array::<Count>(counts as usize).map_err(|_| EOVERFLOW)?;
        let (layout, offset) = Layout::new::<Self>()
            .extend(bitmap)
            .map_err(|_| EOVERFLOW)?;

        debug_assert!(offset == BITMAP);
        layout.extend(counts).map_err(|_| EOVERFLOW)
    }
}

impl<'pool> Page<'pool> {
    /// Allocates the record of a page that has no memory, and so no free block.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if there is no memory for the record.
    pub(crate) fn new(common: &Common, flags: Flags, node: NumaNode) -> Result<Self> {
        let (layout, counts) = Record::layout(common)?;
        let record = Kmalloc::alloc(layout, flags, node)?.cast::<Record>();
        let slow_free = if common.frees_slowly() { SLOW_FREE } else { 0 };

        // SAFETY: `record` is the beginning of a new allocation that is large and aligned enough.
        // All bytes zero are a valid bitmap, in which no block is free.
        unsafe {
            record.cast::<u8>().write_bytes(0, layout.size());
            record.write(Record {
                memory: UnsafeCell::new(None),
                leaf: None,
                number: slow_free | if common.tokens { TOKENS } else { 0 },
                hint: Atomic::new(0),
                blocks: Atomic::new(0),
            })
        };
        if common.tokens {
            // SAFETY: By `Record::layout` the allocation has room for that many.
            unsafe {
                let counts = record.byte_add(counts).cast::<Count>();

                Count::init(counts, common.geometry.most_blocks() as usize);
            }
        }
        // INVARIANT: The record, its bitmap and its counts have just been written.
        Ok(Self(record, PhantomData))
    }

    /// A page that has no blocks, and never will.
    pub(crate) fn nothing() -> Self {
        // INVARIANT: A static lives for any `'pool`.
        Self(NonNull::from(&NOTHING).cast(), PhantomData)
    }

    /// Frees the record. If the page has memory, that is returned.
    ///
    /// # Safety
    ///
    /// The caller must be the only one who has this page, in whatever form. `common` must be that
    /// of its pool.
    pub(crate) unsafe fn free(self, common: &Common) -> Option<Coherent<[u8]>> {
        // SAFETY: The caller has the record for itself, and it is not used after this.
        let record = unsafe { self.0.read() };

        if let Ok((layout, _)) = Record::layout(common) {
            // SAFETY: The allocation was made by `Kmalloc` in `Page::new` with this layout.
            unsafe { Kmalloc::free(self.0.cast(), layout) };
        }
        record.memory.into_inner()
    }

    /// Makes a page out of what [`Page::as_raw`] returned.
    ///
    /// # Safety
    ///
    /// `record` must come from [`Page::as_raw`], and must not have been freed nor be freed while
    /// `'pool` lasts.
    #[inline]
    pub(crate) unsafe fn from_raw(record: NonNull<Record>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(record, PhantomData)
    }

    /// The pointer under which the page table knows this page.
    #[inline]
    pub(crate) fn as_raw(self) -> NonNull<Record> {
        self.0
    }

    #[inline]
    fn record(self) -> &'pool Record {
        // SAFETY: By the type invariants the record lives for `'pool`, and it is never borrowed
        // mutably.
        unsafe { self.0.as_ref() }
    }

    /// How many blocks the page has; 0 if it has no memory.
    ///
    /// Relaxed: certain for who has taken a bit, and a guess for others.
    #[inline]
    pub(crate) fn blocks(self) -> u32 {
        // CAST: By the invariants of `Geometry` not negative.
        read_once(&self.record().blocks) as u32
    }

    /// The words of the bitmap, in the order of the blocks.
    #[inline]
    fn words(self) -> &'pool [Word] {
        // CAST: A number of words fits a `usize`.
        let words = self.blocks().div_ceil(WORD_BITS) as usize;

        // SAFETY: By the invariants of `Record` at least that many words are initialized, in the
        // same allocation, and they live for `'pool`.
        unsafe { core::slice::from_raw_parts(self.0.byte_add(BITMAP).cast().as_ptr(), words) }
    }

    /// One word of the bitmap.
    ///
    /// # Safety
    ///
    /// A page of the pool must have more than `number` words when it has all the blocks that it can
    /// have, whether it has them now or not.
    #[inline(always)]
    unsafe fn word(self, number: u32) -> &'pool Word {
        // SAFETY: By the invariants of `Record` that word is initialized, in the same allocation,
        // and it lives for `'pool`.
        unsafe {
            self.0
                .byte_add(BITMAP)
                .cast::<Word>()
                .add(number as usize)
                .as_ref()
        }
    }

    /// The words, each with the bits that are set if `blocks` blocks are all free.
    fn words_when_free(self, blocks: u32) -> impl Iterator<Item = (&'pool Word, u64)> {
        let mut left = blocks;

        self.words().iter().map(move |word| {
            let bits = lowest(left);

            left = left.saturating_sub(WORD_BITS);
            (word, bits)
        })
    }

    /// Places the page into a page table, as page `number`, which is in `leaf`.
    ///
    /// # Safety
    ///
    /// The page must not be in a page table yet, and the caller must be the only one who has it.
    pub(crate) unsafe fn place(self, leaf: &Node, number: u32) {
        let record = self.0.as_ptr();

        // SAFETY: By the requirements of this function nobody else accesses the record.
        unsafe {
            (&raw mut (*record).leaf).write(Some(NonNull::from(leaf)));
            let flags = (*record).number & (SLOW_FREE | TOKENS);
            (&raw mut (*record).number).write(number | flags);
        }
    }

    /// The leaf of the page table in which the page stands, if it stands in one.
    pub(crate) fn leaf(self) -> Option<&'pool Node> {
        let leaf = self.record().leaf?;

        // SAFETY: By the invariants of `Record` the page stands in that leaf, which lives as long
        // as the page.
        Some(unsafe { leaf.as_ref() })
    }

    /// The page's number in the page table.
    pub(crate) fn number(self) -> u32 {
        self.record().number & !(SLOW_FREE | TOKENS)
    }

    /// Bytes in a block.
    #[inline]
    pub(crate) fn block_size(self) -> usize {
        self.leaf().map_or(0, |leaf| leaf.common().geometry.size())
    }

    /// Whether there is more to do when a block is freed than to give it back.
    #[inline]
    pub(crate) fn frees_slowly(self) -> bool {
        self.record().number & SLOW_FREE != 0
    }

    /// The count of tokens of block `index`, if the pool has tokens and the page may have such a
    /// block.
    pub(crate) fn count_of(self, index: u32) -> Option<&'pool Count> {
        if self.record().number & TOKENS == 0 {
            return None;
        }
        let common = self.leaf()?.common();
        let (_, counts) = Record::layout(common).ok()?;

        // SAFETY: By the invariants of `Record` the page has that many counts, at that distance
        // from its beginning, and they live for `'pool`.
        (index < common.geometry.most_blocks()).then(|| unsafe {
            self.0
                .byte_add(counts)
                .cast::<Count>()
                .add(index as usize)
                .as_ref()
        })
    }

    /// Takes a free block of the word that a block was last taken from, and returns its place.
    ///
    /// `None` if there is none, or if another thread was faster.
    #[inline(always)]
    pub(crate) fn try_take(self, geometry: &Geometry) -> Option<Place> {
        // CAST: The number of a word is not negative.
        let hint = read_once(&self.record().hint) as u32;
        // SAFETY: By the invariants of `Record` there is such a word.
        let word = unsafe { self.word(hint) };

        word.try_take(|bit| geometry.place(hint.wrapping_mul(WORD_BITS) | bit))
    }

    /// Takes a free block, and returns its index. `None` if there is none.
    pub(crate) fn take(self) -> Option<u32> {
        let mut number = 0u32;

        for word in self.words() {
            if let Some(bit) = word.take() {
                // CAST: There are at most `i16::MAX` blocks.
                // INVARIANT: A block was taken from that word.
                let hint = number as i16;
                if read_once(&self.record().hint) != hint {
                    self.record().hint.store(hint, Relaxed);
                }
                return Some(number.wrapping_mul(WORD_BITS) | bit);
            }
            number = number.wrapping_add(1);
        }
        None
    }

    /// Takes up to `most` free blocks, calls `f` with the index of each, and returns how many.
    #[inline]
    pub(crate) fn take_many(self, most: usize, mut f: impl FnMut(u32)) -> usize {
        let mut first = 0u32;
        let mut count = 0usize;

        for word in self.words() {
            for bit in word.take_many(most.saturating_sub(count)) {
                f(first | bit);
                count = count.wrapping_add(1);
            }
            if count == most {
                break;
            }
            first = first.wrapping_add(WORD_BITS);
        }
        count
    }

    /// Gives back the block `index`. Returns whether its word had no free block, so that nobody
    /// may know that the page has one now.
    ///
    /// # Safety
    ///
    /// The caller must have taken the block, and must not use it after this.
    #[inline]
    pub(crate) unsafe fn give(self, index: u32) -> bool {
        // SAFETY: The block is taken, so by the invariants of `Record` there is its word.
        unsafe { self.word(index / WORD_BITS) }.give(index % WORD_BITS)
    }

    /// Gives back the block `index`, if there is such a block and it is taken. Returns as
    /// [`Page::give`], or `None` if there is nothing to give back.
    ///
    /// # Safety
    ///
    /// - Frees of the pool must be checked.
    /// - If the block is taken, the caller must have taken it, and must not use it after this.
    #[inline]
    pub(crate) unsafe fn try_give(self, index: u32) -> Option<bool> {
        // Relaxed: whether there is an exchange depends on this, so it comes after, as with C's
        // `READ_ONCE()`. By the release of the number in `fill` it then exchanges a word that was
        // filled, in which a clear bit is that of a taken block. Who has the block finds it here:
        // they saw the number when they took it, or found the page current, which it became later.
        if index >= self.blocks() {
            return None;
        }
        // SAFETY: There is such a block, so there is its word.
        unsafe { self.word(index / WORD_BITS) }.try_give(index % WORD_BITS)
    }

    /// Whether the page has a free block; a snapshot.
    pub(crate) fn has_free(self) -> bool {
        self.words().iter().any(|word| !word.is_empty())
    }

    /// How many free blocks the page has; a snapshot.
    pub(crate) fn count_free(self) -> u32 {
        self.words()
            .iter()
            .fold(0, |sum, word| sum.wrapping_add(word.count()))
    }

    /// Whether block `index` exists and is taken; a snapshot.
    pub(crate) fn is_taken(self, index: u32) -> bool {
        index < self.blocks()
            && self
                .words()
                .get((index / WORD_BITS) as usize)
                .is_some_and(|word| !word.contains(index % WORD_BITS))
    }

    /// The memory of a page that has no blocks, which is had from `get` if there is none.
    ///
    /// # Safety
    ///
    /// The caller must have been given the page as vacant.
    pub(crate) unsafe fn memory_of_vacant(
        self,
        get: impl FnOnce() -> Result<Coherent<[u8]>>,
    ) -> Result<&'pool Coherent<[u8]>> {
        let memory = self.record().memory.get();

        // SAFETY: The page has no blocks, so by the invariants of `Record` nobody else writes to
        // `memory`. While it is `None` it is in no index, so nobody else reads it either.
        unsafe {
            if (*memory).is_none() {
                memory.write(Some(get()?));
            }
            Ok((*memory).as_ref().unwrap_unchecked())
        }
    }

    /// Makes blocks of the memory of a page that has none, all free but the first `taken`, at most
    /// 64, which the caller has then taken.
    ///
    /// If frees are not `checked`, the number of blocks comes before the words. A page that was
    /// emptied can still be some CPU's current one, and that CPU takes a bit as soon as there is
    /// one, without asking for the number; so the words must release that.
    ///
    /// If they are, it comes after the words, or a free of a block that is not there yet would find
    /// its bit clear, as if the block were taken. No page is emptied then, so this one has never
    /// had blocks and is no CPU's current one: nobody takes a bit who has not seen the number.
    ///
    /// # Safety
    ///
    /// - The caller must have been given the page as vacant.
    /// - It must have memory, of `1 << order` pages of the pool's geometry, for which `order` is
    ///   not too large.
    /// - If frees are checked, it must not have had blocks before.
    pub(crate) unsafe fn fill(self, geometry: &Geometry, order: u32, taken: u32, checked: bool) {
        let blocks = geometry.blocks_per_page().wrapping_shl(order);
        let number = &self.record().blocks;

        if !checked {
            // Relaxed: who has taken a bit sees it by that. Who reads 0 finds no word to look at,
            // which is harmless, and who looks at one does so by its own order.
            // CAST: By the invariants of `Geometry` it fits.
            number.store(blocks as i16, Relaxed);
        }

        let (mut left, mut taken) = (blocks, lowest(taken));
        for index in 0..blocks.div_ceil(WORD_BITS) {
            // INVARIANT: There is memory. `Word::fill` releases it to whoever takes a bit.
            // SAFETY: A page with so many blocks has such a word.
            unsafe { self.word(index) }.fill(lowest(left) & !taken);
            left = left.saturating_sub(WORD_BITS);
            taken = 0;
        }

        if checked {
            // INVARIANT: Clear bits are those of the caller's blocks.
            // Release: pairs with `try_give` and `fill_if_taken`. Who sees the number, sees the
            // words as they are now or later.
            // CAST: As above.
            number.store(blocks as i16, Release);
        }
    }

    /// Whether the page has memory and all its blocks are free; a snapshot.
    pub(crate) fn is_free(self) -> bool {
        self.blocks() != 0 && self.count_free() == self.blocks()
    }

    /// Takes the memory away from a page if all its blocks are free.
    ///
    /// The page has then no block, and is the caller's to announce as vacant.
    pub(crate) fn empty(self) -> Option<Coherent<[u8]>> {
        let blocks = self.blocks();
        if blocks == 0 {
            return None;
        }

        // Someone may take a block at any time, so each word has to be taken as a whole.
        let mut taken = 0usize;
        for (word, bits) in self.words_when_free(blocks) {
            if !word.take_all(bits) {
                break;
            }
            taken = taken.wrapping_add(1);
        }
        // With a word in hand the number of blocks does not change, so it can be asked for. Without
        // one, the page may be anybody's.
        if taken == 0 {
            return None;
        }
        // It may have changed before. Then the free blocks of that word were not all that it has.
        if taken != self.words().len() || self.blocks() != blocks {
            for (word, bits) in self.words_when_free(blocks).take(taken) {
                word.give_all(bits);
            }
            return None;
        }
        // SAFETY: All bits are taken, by this thread, so nobody else accesses `memory`.
        let memory = unsafe { (*self.record().memory.get()).take() };

        // INVARIANT: No bit is set or taken by anyone else, and this thread forgets those it took.
        self.record().blocks.store(0, Relaxed);
        memory
    }

    /// Fills the block at `place` with what the pool wants in free blocks.
    ///
    /// # Safety
    ///
    /// The caller must have taken the block.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn fill_freed(self, place: Place) {
        let value = self
            .leaf()
            .and_then(|leaf| leaf.common().contents.when_freed());

        if let Some(value) = value {
            // INVARIANT: By the requirements of this function.
            Taken { page: self, place }.fill_with(value);
        }
    }

    /// The same, if there is such a block and it is taken.
    ///
    /// # Safety
    ///
    /// - Frees of the pool must be checked.
    /// - If the block is taken, the caller must have taken it.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn fill_if_taken(self, place: Place) {
        // Acquire: pairs with the release of the number in `fill`. The word is looked at as it was
        // filled or later.
        // CAST: As in `blocks`.
        let blocks = self.record().blocks.load(Acquire) as u32;

        if place.index() < blocks && self.is_taken(place.index()) {
            // SAFETY: The block is taken, by the caller.
            unsafe { self.fill_freed(place) };
        }
    }

    /// Keeps the block at `place` for the pool's reserve, if that has less than it should. Returns
    /// whether it did.
    ///
    /// # Safety
    ///
    /// The caller must have taken the block, and must not use it after this if it is kept.
    pub(crate) unsafe fn keep_freed(self, place: Place) -> bool {
        let Some(leaf) = self.leaf() else {
            return false;
        };

        // INVARIANT: By the requirements of this function.
        // SAFETY: By the requirements of this function. The reserve is that of the page's pool.
        unsafe { leaf.common().reserve.put(&Taken { page: self, place }) }
    }

    /// How far into the page's memory `dma` lies, in bytes, if it does.
    ///
    /// # Safety
    ///
    /// The page must have memory and keep it.
    #[inline]
    pub(crate) unsafe fn offset_of(self, dma: DmaAddress) -> Option<u32> {
        // SAFETY: By the requirements of this function; as good as having taken a block.
        let memory = unsafe { self.memory() };
        let offset = dma.wrapping_sub(memory.dma_address());

        // CAST: The length of a page fits a `u32`.
        (offset < memory.len() as DmaAddress).then_some(offset as u32)
    }

    /// The page's memory.
    ///
    /// # Safety
    ///
    /// The caller must have taken a block of this page, and not give it back while it uses the
    /// result.
    #[inline]
    pub(crate) unsafe fn memory(self) -> &'pool Coherent<[u8]> {
        // SAFETY: By the invariants of `Record`, while a block is taken there is memory, and nobody
        // replaces it.
        unsafe { (*self.record().memory.get()).as_ref().unwrap_unchecked() }
    }
}
