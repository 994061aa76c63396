// SPDX-License-Identifier: GPL-2.0

//! Allocating: a block of the word from which this CPU has taken the last one, or of wherever there
//! is one.

use super::super::sys::prelude::*;
use super::{
    super::sys::gfp,
    cpu::Cpu,
    free::Allocated,
    pool::RawPool,
    slab::Slab,
    trace,
    word::WORD_BITS, //
};

/// Where a slab has no more blocks than that, one free block is not next to nothing.
///
/// Each that is found is one that the pool may grow for. Where slabs have few blocks, and so blocks
/// are large, that would be dear.
const POOR: u32 = 32;

/// The most chunks of its own that a CPU looks into before it searches all.
const MOST_OWN: usize = 8;

/// Bit `bit` of word `number`, as one of the slab.
#[inline(always)]
fn bit_of(number: usize, bit: u32) -> u32 {
    // CAST: There are at most 64 words.
    (number as u32).wrapping_mul(WORD_BITS) | bit
}

impl RawPool<'_> {
    /// See [`Pool::alloc`].
    #[inline(always)]
    pub(crate) fn alloc(&self, flags: Flags) -> Result<Allocated<'_>> {
        // Without this, misuse would show only when growing.
        gfp::might_alloc(flags);

        let block = match self.alloc_at_once::<false>() {
            Some(block) => block,
            None => self.find_or_grow(flags)?,
        };
        if self.must_fill(flags) {
            // SAFETY: The block is this thread's.
            unsafe { self.fill_new(&block, flags) };
        }
        Ok(block)
    }

    /// Allocates a block if this CPU's word has one at once, and leaves in it what there is. `None`
    /// if somebody traces that, too. `CHECKED` says whether frees are checked in this pool.
    #[inline(always)]
    pub(crate) fn alloc_at_once<const CHECKED: bool>(&self) -> Option<Allocated<'_>> {
        if trace::alloc::is_on() {
            return None;
        }
        let cpu = self.cpus.this();
        let (slab, number) = cpu.current_word();
        // SAFETY: The slab has that word.
        let word = unsafe { slab.word_at(number) };
        // Where frees are checked, nobody takes a block before the map leads to it.
        let exist = if CHECKED { slab.exists() } else { u64::MAX };
        let bits = word.bits() & exist;
        if bits == 0 {
            return None;
        }
        let bit = bit_of(number, bits.trailing_zeros());
        // SAFETY: The slab has that bit.
        if !unsafe { slab.take_bit(bit) } {
            self.use_twins();
            return None;
        }
        // Somebody else writes to the word. Where frees are checked there are no twins.
        if !CHECKED && word.bits() != bits & bits.wrapping_sub(1) {
            self.use_twins();
        }
        let flip = if CHECKED { 0 } else { cpu.flip() };

        // INVARIANT: This thread has taken the bit.
        Some(Allocated {
            slab,
            place: self.layout.place_of(bit, flip),
        })
    }

    /// Allocates a block for a caller who frees it by its addresses, in a pool in which frees are
    /// checked. Returns where it is for the CPU, or null, and writes to `dma` where it is for the
    /// device.
    ///
    /// # Safety
    ///
    /// `dma` must be writable.
    #[inline(always)]
    pub(crate) unsafe fn alloc_checked(&self, flags: Flags, dma: *mut DmaAddress) -> *mut u8 {
        gfp::might_alloc(flags);

        match self.alloc_at_once::<true>() {
            // SAFETY: The caller vouches for `dma`.
            Some(block) => unsafe { self.hand_out(block, flags, dma) },
            // SAFETY: As above.
            None => unsafe { self.alloc_checked_slow(flags, dma) },
        }
    }

    /// # Safety
    ///
    /// As [`RawPool::alloc_checked`].
    #[cold]
    #[inline(never)]
    unsafe fn alloc_checked_slow(&self, flags: Flags, dma: *mut DmaAddress) -> *mut u8 {
        match self.find_or_grow(flags) {
            // SAFETY: The caller vouches for `dma`.
            Ok(block) => unsafe { self.hand_out(block, flags, dma) },
            Err(_) => null_mut(),
        }
    }

    /// Fills `block` as it should be for `flags`, and says where it is.
    ///
    /// # Safety
    ///
    /// As [`RawPool::alloc_checked`].
    #[inline(always)]
    unsafe fn hand_out(&self, block: Allocated<'_>, flags: Flags, dma: *mut DmaAddress) -> *mut u8 {
        let (address, address_for_dma) = block.addresses();

        // SAFETY: The caller vouches for `dma`. The block is this thread's, and is there.
        unsafe {
            dma.write(address_for_dma);
            if self.must_fill(flags) {
                self.fill_new_at(address, address_for_dma, flags);
            }
        }
        address
    }

    /// Has the blocks that this CPU allocates be given back by the other one of their twins:
    /// somebody else writes to the word from which it takes bits.
    #[cold]
    #[inline(never)]
    fn use_twins(&self) {
        self.cpus.this().use_twins(&self.layout);
    }

    /// Allocates a block from wherever there is one, and leaves in it what there is. If somebody
    /// traces that, all allocations come here.
    #[cold]
    #[inline(never)]
    pub(crate) fn find_or_grow(&self, flags: Flags) -> Result<Allocated<'_>> {
        let cpu = self.cpus.this();
        let pages = self.pages.get();

        self.take_current(cpu)
            .or_else(|| self.grow_for_cpu(cpu, flags))
            .or_else(|| self.search(cpu))
            .or_else(|| self.steal(cpu))
            .or_else(|| self.take_reserved(flags))
            .ok_or(ENOMEM)
            .or_else(|_| self.grow_for_need(pages, flags))
            .or_else(|err| self.last_look(flags).ok_or(err))
            .inspect_err(|_| {
                // Relaxed: a count for people to read.
                self.failures.add(1u64, Relaxed);
                trace::fail::call(self, gfp::to_raw(flags));
            })
            .inspect(|block| {
                let flags = gfp::to_raw(flags);
                trace::alloc::call(self, block.as_ptr(), block.dma_address(), flags);
            })
    }

    /// Takes a block of `slab` for `cpu`, if that has a free one. Returns its bit, too.
    fn take<'a>(&'a self, cpu: &Cpu, slab: Slab<'a>) -> Option<(Allocated<'a>, u32)> {
        let bit = slab.take(&self.layout)?;
        let place = self.layout.place_of(bit, cpu.flip());

        // INVARIANT: `Slab::take` returns the bit of a block that nobody else has.
        Some((Allocated { slab, place }, bit))
    }

    /// Takes a block of the slab from which `cpu` allocates: of another word than before, unless
    /// somebody traces allocations or has just freed one.
    fn take_current<'a>(&'a self, cpu: &'a Cpu) -> Option<Allocated<'a>> {
        let (slab, number) = cpu.current_word();
        let (block, bit) = self.take(cpu, slab)?;
        // CAST: Widening.
        if (bit / WORD_BITS) as usize == number {
            return Some(block);
        }

        cpu.use_word(block.slab, bit);
        // If the other word is that of the twins, then another CPU frees into the slab. Its only
        // free block is the one that this has just freed, and so will the next one be.
        if self.layout.words == 1 && !block.slab.has_free(&self.layout) {
            cpu.note_find(1);
        }
        Some(block)
    }

    /// Takes a block of an announced slab, from which this CPU allocates from now on.
    fn search<'a>(&'a self, cpu: &'a Cpu) -> Option<Allocated<'a>> {
        let found = || self.find_own(cpu).or_else(|| self.find_any(cpu));

        // A slab that was announced can have no free block by now.
        iter::from_fn(found).find_map(|slab| {
            let (block, bit) = self.take(cpu, slab)?;

            self.switch_to(cpu, slab, bit);
            cpu.note_find(u32::from(self.was_poor(slab)));
            Some(block)
        })
    }

    /// Whether `slab`, of which a block was taken just now, had next to nothing: no other one.
    fn was_poor(&self, slab: Slab<'_>) -> bool {
        !slab.has_free(&self.layout) && slab.count(&self.layout) > POOR
    }

    /// Finds an announced slab in the chunks to which this CPU adds slabs.
    ///
    /// The search begins after the current slab, if that is one of these, and goes round: from
    /// newer chunks to older ones, as far as there are not too many. So blocks that are freed into
    /// a slab become many before it is its turn again.
    fn find_own<'a>(&'a self, cpu: &'a Cpu) -> Option<Slab<'a>> {
        let newest = || Some(cpu.added()?.chunk());
        let current = cpu.current_acquire();
        let (first, last) = if cpu.owns(current) {
            (current.chunk(), Some(current))
        } else {
            (newest()?, None)
        };

        first.find(last).or_else(|| {
            iter::successors(Some(first), |chunk| chunk.older().or_else(newest))
                .skip(1)
                .take(MOST_OWN)
                .find_map(|chunk| chunk.find(None))
        })
    }

    /// Finds an announced slab in any chunk.
    fn find_any<'a>(&'a self, cpu: &'a Cpu) -> Option<Slab<'a>> {
        self.chunks_from(cpu).find_map(|chunk| chunk.find(None))
    }

    /// Takes a block of any CPU's slab. This CPU's had none a moment ago.
    fn steal<'a>(&'a self, cpu: &Cpu) -> Option<Allocated<'a>> {
        let (block, _) = self
            .cpus
            .iter()
            .find_map(|one| self.take(cpu, one.current()))?;

        // It has looked at the slabs of all CPUs: that is as bad as to find next to nothing twice.
        cpu.note_find(2);
        Some(block)
    }

    /// Takes a block of the reserve, if the caller may not wait. Whoever may obtains memory from
    /// the system instead.
    fn take_reserved(&self, flags: Flags) -> Option<Allocated<'_>> {
        if gfp::may_block(flags) {
            return None;
        }
        let block = self
            .reserve
            .slabs()
            .find_map(|slab| Some(self.take(self.cpus.this(), slab)?.0))?;

        // No other block was free.
        self.note_level(self.capacity().saturating_sub(self.reserved()));
        Some(block)
    }

    /// Looks at each slab once.
    ///
    /// A block may have been freed meanwhile, or not be published yet. And who has taken one that
    /// this thread did not get may have freed another one before. This barrier, and that in
    /// `publish_first_free`, let it be seen. What is missed is a block whose word had another free
    /// one, so that no barrier followed its free, and one that is freed behind this look.
    #[cold]
    fn last_look(&self, flags: Flags) -> Option<Allocated<'_>> {
        self.end_quarantine();
        smp_mb(Full);
        self.chunks
            .slabs()
            .find_map(|slab| Some(self.take(self.cpus.this(), slab)?.0))
            .or_else(|| self.take_reserved(flags))
    }
}
