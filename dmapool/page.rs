// SPDX-License-Identifier: GPL-2.0

//! A page of a pool: one area of coherent DMA memory, and the record that says which of its blocks
//! are free.
//!
//! The record is ordinary kernel memory. Nothing that a device writes into the page can reach it.
//! Once it stands in the page tree a record stays until the pool is destroyed, with or without
//! memory, so a stale reference to one is always safe to look at.

use crate::{
    bitmap::{
        lowest,
        read_once,
        Word,
        WORD_BITS, //
    },
    node::{
        Kind,
        Node,
        FANOUT, //
    },
    page_spec::{
        PageSpec,
        TWIN, //
    },
    token_count::TokenCount, //
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
/// tokens, a [`TokenCount`] for each block.
///
/// With a bitmap of one word that is one cache line. If blocks have [twins](crate::page_spec), the
/// record has a line for itself, so that looking at it does not take the bitmap from whoever writes
/// to that, the bitmap begins another one, and the twins are in a third.
///
/// # Invariants
///
/// - From [`BITMAP`] bytes on, the allocation of this record holds as many initialized [`Word`]s as
///   a page of the pool needs at most, and if `number` has [`TWINS`] set, as many for twins from
///   bit [`TWIN`] on; and after these, if `number` has [`TOKENS`] set, as many initialized
///   [`TokenCount`]s as a page has blocks at most.
/// - Of twins, one at most is set.
/// - While a bit of the bitmap is set, or a thread has taken one and not given it back, `memory` is
///   `Some`, and nobody writes to `memory` or `blocks`, except for a thread that has taken all
///   bits, and except for the thread that adds the blocks, which writes to `blocks`.
/// - For a thread that has taken a bit, the index of its block is below `blocks`, and `memory`
///   holds that many blocks.
/// - If frees are checked, a thread that has read a value of `blocks` above the number of a clear
///   bit may conclude that this block is allocated.
/// - If every thread would read 0 from `blocks`, the page is unpopulated, and `memory` belongs to
///   the thread that was given the page. But once the page is in the pool's [`AddressMap`], nobody
///   writes to `memory`.
/// - There is a bit `hint`, the first one of a word.
/// - If the page stands in a page tree, `leaf` and `number` say where, and never change.
///
/// [`AddressMap`]: crate::address_map::AddressMap
#[repr(C)]
pub(crate) struct Record {
    memory: UnsafeCell<Option<Coherent<[u8]>>>,
    leaf: Option<NonNull<Node>>,
    /// The page's number, [`TOKENS`] and [`TWINS`].
    number: u32,
    /// The first bit of the word from which one was last taken, where there are probably more.
    hint: Atomic<i16>,
    /// Blocks of the page; 0 if nobody can have one.
    blocks: Atomic<i16>,
}

/// The bit of [`Record::number`] that says whether there are counts for tokens.
const TOKENS: u32 = 1 << 30;

/// The bit of [`Record::number`] that says whether blocks have twins.
const TWINS: u32 = 1 << 29;

/// A page without blocks or memory, in no page tree, that belongs to every pool.
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

/// Bytes of a cache line.
const LINE: usize = 64;

/// A record with a bitmap of one word.
#[repr(C, align(64))]
struct Nothing {
    record: Record,
    bitmap: Word,
}

// SAFETY: Nobody ever writes to `memory`, since there is no bit to take.
unsafe impl Sync for Nothing {}

// With a bitmap of one word, a record is one cache line.
static_assert!(size_of::<Nothing>() <= LINE);

/// Where the bitmap begins, in bytes from the beginning of the record.
const BITMAP: usize = offset_of!(Nothing, bitmap);

/// How a record lies in memory.
struct RecordLayout {
    /// The whole allocation.
    whole: Layout,
    /// Where in the allocation the record begins, in bytes.
    start: usize,
    /// Where the counts for tokens begin, in bytes from the record.
    counts: usize,
}

impl RecordLayout {
    fn new(spec: &PageSpec) -> Result<Self> {
        // Pages are only joined if one word is enough for all their blocks.
        let words = spec.geometry.blocks_per_page().div_ceil(WORD_BITS);
        // With twins, the bitmap begins a cache line, and they are in the next one.
        let (words, start) = if spec.has_twins() {
            (words.saturating_add(TWIN / WORD_BITS), LINE - BITMAP)
        } else {
            (words, 0)
        };
        let counts = if spec.tokens {
            spec.geometry.most_blocks()
        } else {
            0
        };
        // CAST: `usize` has at least 32 bits on every architecture that runs Rust.
        let bitmap = Layout::array::<Word>(words as usize).map_err(|_| EOVERFLOW)?;
        let counts = Layout::array::<TokenCount>(counts as usize).map_err(|_| EOVERFLOW)?;
        let (record, offset) = Layout::new::<Record>()
            .extend(bitmap)
            .map_err(|_| EOVERFLOW)?;

        debug_assert!(offset == BITMAP);
        let (record, counts) = record.extend(counts).map_err(|_| EOVERFLOW)?;
        let (whole, _) = Layout::array::<u8>(start)
            .and_then(|before| before.extend(record))
            .map_err(|_| EOVERFLOW)?;
        // No two records in one cache line: CPUs write to them all the time.
        let whole = whole.align_to(LINE).map_err(|_| EOVERFLOW)?;

        Ok(Self {
            whole: whole.pad_to_align(),
            start,
            counts,
        })
    }
}

/// A page, borrowed for as long as its pool lives.
///
/// # Invariants
///
/// `0` points to a [`Record`] in a live allocation that holds its bitmap, too. Both stay for
/// `'pool`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Page<'pool>(NonNull<Record>, PhantomData<&'pool Record>);

// SAFETY: Any number of threads may use a page. The bitmap, `hint` and `blocks` are atomic; by the
// invariants of `Record`, `memory` is written to only while nobody may read it; all else is
// constant.
unsafe impl Send for Page<'_> {}
// SAFETY: As above.
unsafe impl Sync for Page<'_> {}

/// Its record.
impl<'pool> Page<'pool> {
    /// Allocates the record of an unpopulated page.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if there is no memory for the record.
    pub(crate) fn new(spec: &PageSpec, flags: Flags, node: NumaNode) -> Result<Self> {
        let layout = RecordLayout::new(spec)?;
        let memory = Kmalloc::alloc(layout.whole, flags, node)?.cast::<u8>();
        let tokens = if spec.tokens { TOKENS } else { 0 };
        let twins = if spec.has_twins() { TWINS } else { 0 };

        // SAFETY: `memory` is the beginning of a new allocation that is large enough, and so the
        // record lies in it. All bytes zero are a valid bitmap, in which no block is free.
        let record = unsafe {
            memory.write_bytes(0, layout.whole.size());
            memory.byte_add(layout.start).cast::<Record>()
        };
        // SAFETY: There is room for a record, and it is aligned, as the allocation and `start` are.
        unsafe {
            record.write(Record {
                memory: UnsafeCell::new(None),
                leaf: None,
                number: tokens | twins,
                hint: Atomic::new(0),
                blocks: Atomic::new(0),
            })
        };
        if spec.tokens {
            // SAFETY: By `RecordLayout` the allocation has room for that many.
            unsafe {
                let counts = record.byte_add(layout.counts).cast::<TokenCount>();

                TokenCount::init(counts, spec.geometry.most_blocks() as usize);
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
    /// The caller must be the only one who has this page, in whatever form. `spec` must be that of
    /// its pool.
    pub(crate) unsafe fn free_record(self, spec: &PageSpec) -> Option<Coherent<[u8]>> {
        // SAFETY: The caller has the record for itself, and it is not used after this.
        let record = unsafe { self.0.read() };

        if let Ok(layout) = RecordLayout::new(spec) {
            // SAFETY: `Kmalloc` made the allocation in `Page::new`, with this layout.
            unsafe { Kmalloc::free(self.0.byte_sub(layout.start).cast(), layout.whole) };
        }
        record.memory.into_inner()
    }

    /// Makes a page of what [`Page::as_raw`] returned.
    ///
    /// # Safety
    ///
    /// `record` must come from [`Page::as_raw`], and must not have been freed nor be freed while
    /// `'pool` lasts.
    #[inline]
    pub(crate) unsafe fn from_raw(record: NonNull<Record>) -> Self {
        // INVARIANT: The caller vouches for the record.
        Self(record, PhantomData)
    }

    /// The pointer as which others keep this page.
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

    /// The count for tokens of block `index`, if the pool has tokens and the page may have such a
    /// block. `spec` is that of the page's pool.
    pub(crate) fn token_count(self, index: u32, spec: &PageSpec) -> Option<&'pool TokenCount> {
        if self.record().number & TOKENS == 0 {
            return None;
        }
        let counts = RecordLayout::new(spec).ok()?.counts;

        // SAFETY: By the invariants of `Record` the page has that many counts, at that distance
        // from its beginning, and they live for `'pool`.
        (index < spec.geometry.most_blocks()).then(|| unsafe {
            self.0
                .byte_add(counts)
                .cast::<TokenCount>()
                .add(index as usize)
                .as_ref()
        })
    }
}

/// Its place in the page tree.
impl<'pool> Page<'pool> {
    /// Notes that the page is to be page `number` of a page tree, in `leaf`.
    ///
    /// # Safety
    ///
    /// The page must not be in a page tree yet, and the caller must be the only one who has it.
    pub(crate) unsafe fn link(self, leaf: &Node, number: u32) {
        let record = self.0.as_ptr();

        // SAFETY: The caller is the only one who has the page.
        unsafe {
            (&raw mut (*record).leaf).write(Some(NonNull::from(leaf)));
            let flags = (*record).number & (TOKENS | TWINS);
            (&raw mut (*record).number).write(number | flags);
        }
    }

    /// The leaf of the page tree in which the page stands, if it stands in one.
    #[inline]
    pub(crate) fn leaf(self) -> Option<&'pool Node> {
        let leaf = self.record().leaf?;

        // SAFETY: By the invariants of `Record` the page stands in that leaf, which lives as long
        // as the page.
        Some(unsafe { leaf.as_ref() })
    }

    /// The page's number in the page tree.
    pub(crate) fn number(self) -> u32 {
        self.record().number & !(TOKENS | TWINS)
    }

    /// Which child of its leaf the page is.
    pub(crate) fn slot(self) -> u32 {
        self.number() % FANOUT
    }

    /// Announces the page in its page tree, as one of `kind`.
    pub(crate) fn announce(self, kind: Kind) {
        if let Some(leaf) = self.leaf() {
            leaf.announce(kind, self.slot());
        }
    }
}

/// Its blocks.
impl<'pool> Page<'pool> {
    /// How many blocks the page has; 0 if it is unpopulated.
    ///
    /// Relaxed: right for a thread that has taken a bit, and a guess for others.
    #[inline]
    pub(crate) fn blocks(self) -> u32 {
        // CAST: By the invariants of `Geometry` not negative, so there is no sign to extend.
        u32::from(read_once(&self.record().blocks) as u16)
    }

    /// Whether blocks have twins.
    #[inline]
    fn has_twins(self) -> bool {
        self.record().number & TWINS != 0
    }

    /// The words of the bitmap, in the order of the blocks, but for twins.
    #[inline]
    fn words(self) -> &'pool [Word] {
        // SAFETY: By the invariants of `Record` there is a word for each block.
        unsafe { self.words_from(0) }
    }

    /// The words with the twins of the bits of [`Page::words`]; none if there are no twins.
    #[inline]
    fn twins(self) -> &'pool [Word] {
        if !self.has_twins() {
            return &[];
        }
        // SAFETY: By the invariants of `Record` there is a word for the twin of each block.
        unsafe { self.words_from(TWIN) }
    }

    /// As many words as there are for the blocks, from bit `first` on.
    ///
    /// # Safety
    ///
    /// There must be so many from there.
    #[inline(always)]
    unsafe fn words_from(self, first: u32) -> &'pool [Word] {
        // CAST: A number of words fits a `usize`.
        let words = self.blocks().div_ceil(WORD_BITS) as usize;

        // SAFETY: By the invariants of `Record` the words are initialized, in the same allocation,
        // and they live for `'pool`. The caller vouches for their number.
        unsafe { core::slice::from_raw_parts(self.word_ptr(first).as_ptr(), words) }
    }

    /// Where the word of the bitmap lies in which `bit` is.
    ///
    /// # Safety
    ///
    /// A page of the pool must have that bit when it has all the blocks that it can have, whether
    /// it has them now or not.
    #[inline(always)]
    unsafe fn word_ptr(self, bit: u32) -> NonNull<Word> {
        // SAFETY: By the invariants of `Record` that word is in the same allocation.
        unsafe {
            self.0
                .byte_add(BITMAP)
                .cast::<Word>()
                .add((bit / WORD_BITS) as usize)
        }
    }

    /// The word of the bitmap in which `bit` is.
    ///
    /// # Safety
    ///
    /// As [`Page::word_ptr`].
    #[inline(always)]
    unsafe fn word(self, bit: u32) -> &'pool Word {
        // SAFETY: The caller vouches for the same. By the invariants of `Record` the word is
        // initialized, and it lives for `'pool`.
        unsafe { self.word_ptr(bit).as_ref() }
    }

    /// The word from which a block was last taken, and the number of its first bit.
    #[inline(always)]
    fn word_to_take_from(self) -> (u32, &'pool Word) {
        // CAST: The number of a bit is not negative.
        let first = read_once(&self.record().hint) as u32;

        // SAFETY: By the invariants of `Record` there is such a bit.
        (first, unsafe { self.word(first) })
    }

    /// Takes a free block of the word from which a block was last taken, and returns its bit.
    ///
    /// `None` if there is none, or if another thread was faster.
    #[inline(always)]
    pub(crate) fn try_take(self) -> Option<u32> {
        let (first, word) = self.word_to_take_from();

        word.try_take(first)
    }

    /// The same, but returns what `what_of` makes of the bit, and calls `met` if another thread has
    /// changed the word meanwhile.
    #[inline(always)]
    pub(crate) fn try_take_noting<R>(
        self,
        what_of: impl FnOnce(u32) -> R,
        met: impl FnOnce(),
    ) -> Option<R> {
        let (first, word) = self.word_to_take_from();

        word.try_take_noting(first, what_of, met)
    }

    /// Takes a free block, and returns the bit that it has taken. `None` if there is none.
    pub(crate) fn take(self) -> Option<u32> {
        self.take_of(self.words(), 0)
            .or_else(|| self.take_of(self.twins(), TWIN))
    }

    /// Takes a bit of `words`, which begin with bit `first`.
    #[inline(always)]
    fn take_of(self, words: &[Word], mut first: u32) -> Option<u32> {
        for word in words {
            if let Some(bit) = word.take() {
                // CAST: There are at most `i16::MAX` bits.
                // INVARIANT: A bit of that word was taken.
                let hint = first as i16;
                if read_once(&self.record().hint) != hint {
                    self.record().hint.store(hint, Relaxed);
                }
                return Some(first | bit);
            }
            first = first.wrapping_add(WORD_BITS);
        }
        None
    }

    /// Takes up to `most` free blocks, calls `f` with the bit of each, and returns how many.
    #[inline]
    pub(crate) fn take_many(self, most: usize, mut f: impl FnMut(u32)) -> usize {
        let mut left = most;

        for (words, mut first) in [(self.words(), 0), (self.twins(), TWIN)] {
            for word in words {
                for bit in word.take_many(left) {
                    f(first | bit);
                    left = left.wrapping_sub(1);
                }
                if left == 0 {
                    return most;
                }
                first = first.wrapping_add(WORD_BITS);
            }
        }
        most.wrapping_sub(left)
    }

    /// Gives `bit` back, and with it its block. Returns whether its word had no free block, so that
    /// nobody may know that the page has one now.
    ///
    /// # Safety
    ///
    /// The caller must have taken the block, and must not use it after this.
    #[inline]
    pub(crate) unsafe fn give(self, bit: u32) -> bool {
        // SAFETY: The block is taken, so by the invariants of `Record` there are its bits.
        unsafe { self.word(bit) }.give(bit % WORD_BITS)
    }

    /// Whether the page has a block `index`, for a thread that frees it and may be wrong.
    ///
    /// Relaxed: whether [`Page::try_give`] changes a word depends on this, so it comes after, as
    /// with C's `READ_ONCE()`. By the release in `add_checked_blocks` it then changes a word in
    /// which a clear bit is that of an allocated block. The block's owner finds it here: they saw
    /// the number when they took the block, or found the page with a CPU, whose page it became
    /// later.
    #[inline(always)]
    pub(crate) fn has_block(self, index: u64) -> bool {
        index < self.blocks().into()
    }

    /// Gives back the block `index`, which is its single bit, if it is allocated. Returns as
    /// [`Page::give`], or `None` if the block is free.
    ///
    /// # Safety
    ///
    /// - Frees of the pool must be checked, and [`Page::has_block`] have said that there is the
    ///   block.
    /// - If the block is allocated, it must be the caller's, and not be used after this.
    #[inline(always)]
    pub(crate) unsafe fn try_give(self, index: u32) -> Option<bool> {
        // SAFETY: There is such a block, so there is its bit.
        unsafe { self.word(index) }.try_give(index % WORD_BITS)
    }

    /// Whether the page has a free block; a snapshot.
    pub(crate) fn has_free(self) -> bool {
        let in_any = |words: &[Word]| words.iter().any(|word| !word.is_empty());

        in_any(self.words()) || in_any(self.twins())
    }

    /// How many free blocks the page has; a snapshot. If blocks are allocated and freed meanwhile,
    /// some may be counted twice.
    pub(crate) fn count_free(self) -> u32 {
        let count = |sum: u32, word: &Word| sum.wrapping_add(word.count());
        let without_twins = self.words().iter().fold(0, count);

        // Most often there is nothing, and to see that takes less than to count.
        self.twins()
            .iter()
            .filter(|word| !word.is_empty())
            .fold(without_twins, count)
    }

    /// Whether the page has memory, and all its blocks are free; a snapshot.
    pub(crate) fn all_free(self) -> bool {
        self.blocks() != 0 && self.count_free() == self.blocks()
    }

    /// Whether block `index` exists and is allocated; a snapshot.
    pub(crate) fn is_allocated(self, index: u32) -> bool {
        // SAFETY: By the invariants of `Record` there are the bits of a block that there is.
        let is_set = |bit| unsafe { self.word(bit) }.contains(bit % WORD_BITS);

        index < self.blocks() && !is_set(index) && !(self.has_twins() && is_set(index | TWIN))
    }

    /// The same, for a page in which frees are checked: what this reads comes after the blocks were
    /// added.
    ///
    /// Acquire: pairs with the release in [`Page::add_checked_blocks`].
    pub(crate) fn is_allocated_now(self, index: u32) -> bool {
        // CAST: As in `blocks`.
        let blocks = self.record().blocks.load(Acquire) as u32;

        index < blocks && self.is_allocated(index)
    }
}

/// Its memory.
impl<'pool> Page<'pool> {
    /// The page's memory.
    ///
    /// # Safety
    ///
    /// The caller must have taken a block of this page, and not give it back while it uses the
    /// result; or the page must be in the pool's address map; or it must have blocks, and nobody
    /// else use the pool.
    #[inline]
    pub(crate) unsafe fn memory(self) -> &'pool Coherent<[u8]> {
        // SAFETY: By the invariants of `Record`, in each case there is memory, and nobody replaces
        // it.
        unsafe { (*self.record().memory.get()).as_ref().unwrap_unchecked() }
    }

    /// How far into the page's memory `dma` lies, in bytes, if it does.
    ///
    /// # Safety
    ///
    /// As [`Page::memory`].
    #[inline]
    pub(crate) unsafe fn offset_of(self, dma: DmaAddress) -> Option<u32> {
        // SAFETY: The caller vouches for one of the two cases.
        let memory = unsafe { self.memory() };
        // An address below the page wraps to a distance above its length.
        let offset = dma.wrapping_sub(memory.dma_address());

        // CAST: The length of a page fits a `u32`.
        (offset < memory.len() as DmaAddress).then_some(offset as u32)
    }

    /// Gives an unpopulated page memory, which is obtained from `get`, unless it has some from an
    /// attempt that got no further. Returns the memory.
    ///
    /// # Safety
    ///
    /// The caller must have been given the page as unpopulated.
    pub(crate) unsafe fn populate(
        self,
        get: impl FnOnce() -> Result<Coherent<[u8]>>,
    ) -> Result<&'pool Coherent<[u8]>> {
        let memory = self.record().memory.get();

        // SAFETY: The page has no blocks, so by the invariants of `Record` nobody else writes to
        // `memory`. While it is `None` it is in no address map, so nobody else reads it either.
        unsafe {
            if (*memory).is_none() {
                memory.write(Some(get()?));
            }
            Ok((*memory).as_ref().unwrap_unchecked())
        }
    }

    /// Takes the memory away from an unpopulated page that has some from an attempt that got no
    /// further, if `is_unfit` says so.
    ///
    /// # Safety
    ///
    /// The caller must have been given the page as unpopulated. Memory that `is_unfit` must not be
    /// in an address map, nor be used any more.
    pub(crate) unsafe fn take_memory_if(
        self,
        is_unfit: impl FnOnce(&Coherent<[u8]>) -> bool,
    ) -> Option<Coherent<[u8]>> {
        let memory = self.record().memory.get();

        // SAFETY: The page has no blocks, so by the invariants of `Record` nobody else writes to
        // `memory`. If an address map leads here others may read it, but then it is not unfit, and
        // this does no more.
        unsafe {
            if (*memory).as_ref().is_some_and(is_unfit) {
                (*memory).take()
            } else {
                None
            }
        }
    }

    /// Makes `blocks` blocks of the memory of an unpopulated page. All are free but the first
    /// `allocated`, at most 64, which are the caller's.
    ///
    /// For pools in which frees are not checked. The number of blocks comes before the words: a
    /// page that was unpopulated meanwhile can still be some CPU's page to allocate from, and that
    /// CPU takes a bit as soon as there is one, without asking for the number; so the words must
    /// release that.
    ///
    /// # Safety
    ///
    /// - The caller must have been given the page as unpopulated.
    /// - It must have memory for that many blocks, and the pool a page with as many at most.
    pub(crate) unsafe fn add_blocks(self, blocks: u32, allocated: u32) {
        // Relaxed: a thread that has taken a bit sees the number, because `Word::fill` releases it.
        // One that has taken none may read 0, and finds no word to look at, or the number, and
        // finds words that may not be filled yet, in which no block is free.
        // CAST: By the invariants of `Geometry` it fits.
        self.record().blocks.store(blocks as i16, Relaxed);
        // SAFETY: The caller vouches for the same.
        unsafe { self.set_words(blocks, allocated) };
    }

    /// The same for pools in which frees are checked.
    ///
    /// The number of blocks comes after the words. Otherwise a free of a block that is not there
    /// yet would find its bit clear, as if the block were allocated. Such a page never had blocks
    /// before, and is no CPU's page: nobody takes a bit who has not seen the number.
    ///
    /// # Safety
    ///
    /// As [`Page::add_blocks`]; and the page must not have had blocks before.
    pub(crate) unsafe fn add_checked_blocks(self, blocks: u32, allocated: u32) {
        // SAFETY: The caller vouches for the same.
        unsafe { self.set_words(blocks, allocated) };
        // INVARIANT: Clear bits are those of the caller's blocks.
        // Release: pairs with `has_block` and `is_allocated_now`. A thread that sees the number,
        // sees the words as they are now or later.
        // CAST: By the invariants of `Geometry` it fits.
        self.record().blocks.store(blocks as i16, Release);
    }

    /// # Safety
    ///
    /// As [`Page::add_blocks`].
    unsafe fn set_words(self, blocks: u32, allocated: u32) {
        let mut allocated = lowest(allocated);

        for (first, bits) in words_when_free(blocks) {
            // INVARIANT: There is memory, and all twins are clear. `Word::fill` releases it to
            // whoever takes a bit.
            // SAFETY: A page with so many blocks has such a word.
            unsafe { self.word(first) }.fill(bits & !allocated);
            allocated = 0;
        }
    }

    /// Takes the memory away from a page if all its blocks are free.
    ///
    /// The page is then unpopulated, and is the caller's to announce as that. If this returns
    /// [`None`], a search may have found no free block in it meanwhile, and have withdrawn its
    /// announcement: then the caller must publish it.
    ///
    /// # Safety
    ///
    /// The page must not be in an address map, and never have been.
    pub(crate) unsafe fn unpopulate(self) -> Option<Coherent<[u8]>> {
        let blocks = self.blocks();
        if blocks == 0 {
            return None;
        }

        // Anybody may take a block at any time, so each word has to be taken as a whole.
        let mut words = 0usize;
        for (first, bits) in words_when_free(blocks) {
            // SAFETY: The page had so many blocks.
            if !unsafe { self.take_all(first, bits) } {
                break;
            }
            words = words.wrapping_add(1);
        }
        // A thread that has taken a word keeps the number of blocks from changing. It may have
        // changed before that. Then these words were not all that the page has.
        if words != words_when_free(blocks).count() || self.blocks() != blocks {
            for (first, bits) in words_when_free(blocks).take(words) {
                // SAFETY: There is such a word, for it was taken.
                unsafe { self.word(first) }.give_all(bits);
            }
            return None;
        }
        // SAFETY: This thread has taken all bits, and by the requirements no address map leads
        // here. So nobody else accesses `memory`.
        let memory = unsafe { (*self.record().memory.get()).take() };

        // INVARIANT: No bit is set or taken by anyone else, and this thread forgets those it took.
        // Relaxed: this thread has every bit, so what others infer from the number is a guess.
        // `announce` releases it to whoever populates the page again.
        self.record().blocks.store(0, Relaxed);
        memory
    }

    /// Takes the blocks of a word, which begins with bit `first`, if all are free: if each bit of
    /// `bits` is set there, or its twin is. Returns whether it did.
    ///
    /// # Safety
    ///
    /// As [`Page::word_ptr`], for `first`.
    unsafe fn take_all(self, first: u32, bits: u64) -> bool {
        // SAFETY: The caller vouches for the word.
        let word = unsafe { self.word(first) };
        if !self.has_twins() {
            return word.take_all(bits);
        }
        // SAFETY: By the invariants of `Record` there is a twin of each bit.
        let twins = unsafe { self.word(first | TWIN) };
        let set = word.bits();
        let rest = bits & !set;
        // There are others if the page has more blocks by now.
        if set & !bits != 0 {
            return false;
        }
        // A word of which there is nothing to take may be one that is just being filled.
        if set != 0 && !word.take_all(set) {
            return false;
        }
        if rest == 0 || twins.take_all(rest) {
            return true;
        }
        if set != 0 {
            word.give_all(set);
        }
        false
    }
}

/// The words of a bitmap for `blocks` blocks, but for twins: the first bit of each, and those that
/// stand for a block.
fn words_when_free(blocks: u32) -> impl Iterator<Item = (u32, u64)> {
    (0..blocks)
        .step_by(WORD_BITS as usize)
        .map(move |first| (first, lowest(blocks.wrapping_sub(first))))
}
