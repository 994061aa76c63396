// SPDX-License-Identifier: GPL-2.0

//! Pools of C, whose blocks are freed by their addresses, right or wrong.

use super::{
    super::{
        allocator::{
            free::BadFree,
            memory::pages_held,
            pool::RawPool, //
        },
        api::c_pool,
        c_names::*,
        instance::Instance,
        Geometry,
        Statistics, //
    },
    geometry::random_geometry,
    interrupt::{
        Context,
        Interrupts, //
    },
    support::*,
    thread::Thread,
    threads::{
        in_threads,
        threads, //
    }, //
};
use core::{
    mem::{
        self,
        ManuallyDrop, //
    },
    ptr, //
};
use kernel::{
    bindings,
    cpu::nr_cpu_ids,
    device::{
        Bound,
        Device, //
    },
    prelude::*, //
};

/// What C makes of a pool.
pub(super) struct CPool(*mut bindings::dma_pool);

// SAFETY: Any thread may use a pool.
unsafe impl Sync for CPool {}

/// What C's `dma_pool_alloc()` returns.
pub(super) type CBlock = (*mut c_void, u64);

impl CPool {
    /// A pool of blocks of this size, alignment and boundary.
    pub(super) fn new(device: &TestDevice, [size, align, boundary]: [usize; 3]) -> Result<Self> {
        let name = c"of C".as_char_ptr();
        // SAFETY: The device is bound for longer than the pool lives.
        let pool = unsafe {
            dma_pool_create_node(
                name,
                raw(device.bound()),
                size,
                align,
                boundary,
                bindings::NUMA_NO_NODE,
            )
        };

        (!pool.is_null()).then_some(Self(pool)).ok_or(ENOMEM)
    }

    /// The same, which is destroyed with the device, and so not dropped.
    pub(super) fn new_managed(
        device: &TestDevice,
        [size, align, boundary]: [usize; 3],
    ) -> Result<ManuallyDrop<Self>> {
        let name = c"of devres".as_char_ptr();
        // SAFETY: The device is bound.
        let pool = unsafe { dmam_pool_create(name, raw(device.bound()), size, align, boundary) };

        (!pool.is_null())
            .then_some(ManuallyDrop::new(Self(pool)))
            .ok_or(ENOMEM)
    }

    fn with_reserve(device: &TestDevice, asked: [usize; 3], min_nr: usize) -> Result<Self> {
        let name = c"of C".as_char_ptr();
        let (dev, node) = (raw(device.bound()), bindings::NUMA_NO_NODE);
        // SAFETY: This is a string, and the pools of a test are dropped before its device.
        let pool = unsafe { c_pool::create(Head::new(), name, dev, asked, node, min_nr) }?;

        Ok(Self(KBox::into_raw(pool).cast()))
    }

    #[cfg(MODULE)]
    pub(super) fn shrink(&self) -> usize {
        // SAFETY: The pool is there, and its tests have one thread.
        unsafe { self.raw().shrink_alone() }
    }

    fn prefill(&self, count: usize) -> Result {
        self.raw().prefill(count, GFP_KERNEL)
    }

    pub(super) fn alloc(&self) -> Result<CBlock> {
        self.alloc_with(bindings::GFP_KERNEL)
    }

    pub(super) fn alloc_with(&self, flags: bindings::gfp_t) -> Result<CBlock> {
        let mut dma = 0;
        // SAFETY: The pool exists.
        let block = unsafe { dma_pool_alloc(self.0, flags, &mut dma) };

        (!block.is_null()).then_some((block, dma)).ok_or(ENOMEM)
    }

    pub(super) fn free(&self, (address, dma): CBlock) {
        // SAFETY: The pool exists, and the block comes from `alloc`.
        unsafe { dma_pool_free(self.0, address, dma) };
    }

    /// Why there is no block to be freed at these addresses. Should there be one, it is nobody's.
    fn refusal(&self, address: *mut c_void, dma: u64) -> Option<BadFree> {
        // SAFETY: Frees are checked, and whatever is freed is not used after this.
        unsafe { self.raw().free_by_address(address.cast(), dma) }.err()
    }

    pub(super) fn raw(&self) -> &RawPool<'_> {
        // SAFETY: The pool exists.
        &unsafe { &*self.0.cast::<Instance<'_, Head>>() }.raw
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.raw().statistics()
    }

    fn holds(&self, live: usize) -> bool {
        self.raw().unpublished_slabs() == 0 && self.statistics().live == live as u64
    }
}

impl Drop for CPool {
    fn drop(&mut self) {
        // SAFETY: The pool exists.
        unsafe { dma_pool_destroy(self.0) };
    }
}

fn raw(device: &Device<Bound>) -> *mut bindings::device {
    ptr::from_ref(device).cast_mut().cast()
}

/// Blocks of a pool of C, of which nobody else has one.
struct Owner<'pool> {
    pool: &'pool CPool,
    /// With the number that is in the block.
    held: KVec<(CBlock, u64)>,
    random: Random,
    next: u64,
}

// SAFETY: Nothing of it belongs to a thread.
unsafe impl Send for Owner<'_> {}

/// Blocks that an owner has at most.
const MOST: usize = 300;

impl<'pool> Owner<'pool> {
    fn new(pool: &'pool CPool, number: u64) -> Result<Self> {
        Ok(Self {
            pool,
            held: KVec::with_capacity(MOST, GFP_KERNEL)?,
            random: Random::new(number + 31),
            next: number << 32,
        })
    }

    /// Allocates a block, or frees one that it has.
    fn step(&mut self, flags: &[bindings::gfp_t]) -> Result {
        if self.held.len() < MOST && (self.held.is_empty() || self.random.below(2) == 0) {
            return self.alloc_one(flags);
        }
        self.free_one()
    }

    fn alloc_one(&mut self, flags: &[bindings::gfp_t]) -> Result {
        let flags = flags[self.random.below(flags.len())];
        let block = match self.pool.alloc_with(flags) {
            Err(_) if cfg!(CONFIG_PREEMPT_RT) => return Ok(()),
            result => result?,
        };

        // SAFETY: No block of C is smaller than 16 bytes; it may be aligned to less.
        unsafe { block.0.cast::<u64>().write_unaligned(self.next) };
        // There is room, so this allocates nothing.
        self.held.push((block, self.next), GFP_ATOMIC)?;
        self.next += 1;
        Ok(())
    }

    fn free_one(&mut self) -> Result {
        let (block, stamp) = pop_random(&mut self.held, &mut self.random).ok_or(EINVAL)?;

        // SAFETY: As in `step`.
        ensure!(unsafe { block.0.cast::<u64>().read_unaligned() } == stamp);
        self.pool.free(block);
        Ok(())
    }

    fn free_all(&mut self) -> Result {
        while !self.held.is_empty() {
            self.free_one()?;
        }
        Ok(())
    }
}

const PROCESS: [bindings::gfp_t; 2] = [bindings::GFP_KERNEL, bindings::GFP_ATOMIC];

/// Allocates and frees, while interrupts on the same CPU do so too, and the pool grows.
fn churn_interrupted(pool: &CPool, thread: u32) -> Result {
    let context = [Context::Hard, Context::Soft][thread as usize / 2 % 2];
    let mut here = Owner::new(pool, thread.into())?;
    let mut there = Owner::new(pool, (thread + threads()).into())?;

    let interrupts = Interrupts::start(context, || {
        (0..100).try_for_each(|_| there.step(&PROCESS[1..]))
    })?;
    while interrupts.runs()? < 20 {
        (0..1000).try_for_each(|_| here.step(&PROCESS))?;
        // SAFETY: Nothing is held.
        unsafe { bindings::schedule() };
    }
    drop(interrupts);
    here.free_all()?;
    there.free_all()
}

/// Takes all free blocks, those of the reserve too, and gives them back.
#[cfg(MODULE)]
fn drain(pool: &CPool) -> Result {
    let mut held = KVec::new();

    while pool.statistics().live < pool.statistics().capacity {
        held.push(pool.alloc_with(bindings::GFP_ATOMIC)?, GFP_KERNEL)?;
    }
    for (address, dma) in held {
        ensure!(pool.refusal(address, dma).is_none());
    }
    Ok(())
}

/// Fills pages, has the pool give back those that become free again, and looks at what is left.
#[cfg(MODULE)]
fn fill_and_shrink(pool: &CPool, reserved: usize) -> Result {
    let per_page = pool.raw().geometry().blocks_per_page() as usize;
    let mut random = Random::new(4);
    let mut held = KVec::new();

    for round in 0..4 {
        for _ in 0..20 * per_page {
            held.push(pool.alloc()?, GFP_KERNEL)?;
        }
        // Blocks that wait have had it grow further.
        ensure!(pool.shrink() == 0 || pool.raw().quarantine.is_some());
        let pages = pool.statistics().pages as usize;
        while held.len() > 3 * round {
            pool.free(pop_random(&mut held, &mut random).ok_or(ENOENT)?);
        }
        let freed = pool.shrink();
        let left = pool.statistics().pages as usize;

        ensure!(freed + left == pages && freed > 5 && left <= held.len() + reserved);
        ensure!(pool.shrink() == 0);
        // So are those of the reserve.
        drain(pool)?;
        // Those that are left are found, each once.
        while let Some((address, dma)) = pop_random(&mut held, &mut random) {
            ensure!(pool.refusal(address, dma).is_none());
            ensure!(pool.refusal(address, dma) == Some(BadFree::AlreadyFree));
        }
    }
    Ok(())
}

/// Fills a page or two of a pool, and frees what is a block and what is none.
fn refuse_wrong(device: &TestDevice, asked: [usize; 3]) -> Result {
    let pool = CPool::new(device, asked)?;
    let other = CPool::new(device, asked)?;
    let mut held = KVec::new();
    let mut random = Random::new(8);
    let stride = pool.raw().geometry().stride() as u64;

    while held.len() < 3 || pool.statistics().capacity > held.len() as u64 {
        held.push(pool.alloc()?, GFP_KERNEL)?;
    }
    for _ in 0..20 {
        let (address, dma) = held[random.below(held.len())];
        let at = |offset: u64| (address.wrapping_byte_add(offset as usize), dma + offset);
        let within = 1 + random.below(stride as usize - 1) as u64;

        ensure!(pool.refusal(at(within).0, at(within).1) == Some(BadFree::Inside));
        ensure!(pool.refusal(address, at(within).1) == Some(BadFree::Mismatch));
        ensure!(pool.refusal(at(within).0, dma) == Some(BadFree::Mismatch));
        ensure!(other.refusal(address, dma) == Some(BadFree::Foreign));
        ensure!(pool.refusal(address, dma ^ 1 << 62) == Some(BadFree::Foreign));
    }
    ensure!(pool.holds(held.len()) && other.holds(0));

    // Each once.
    while let Some((address, dma)) = pop_random(&mut held, &mut random) {
        ensure!(pool.refusal(address, dma).is_none());
        ensure!(pool.refusal(address, dma) == Some(BadFree::AlreadyFree));
        ensure!(pool.holds(held.len()));
    }
    Ok(())
}

/// How many of the pages, of a block each, do not find their place in a map free, if its table has
/// so many places.
fn collisions(pool: &CPool, held: &[CBlock], places: usize) -> Result<usize> {
    let mut used = KVec::from_elem(false, places, GFP_KERNEL)?;
    let mut found = 0;

    for (_, dma) in held {
        let number = pool.raw().number_of(*dma) as usize;

        found += usize::from(mem::replace(&mut used[number % places], true));
    }
    Ok(found)
}

/// How many of the pages, of a block each, are not the first thing that the map finds for them.
fn not_first(pool: &CPool, held: &[CBlock]) -> Result<usize> {
    let pool = pool.raw();
    let map = pool.by_address.as_ref().ok_or(EINVAL)?;
    let is_first = |dma: u64| {
        map.first(pool.number_of(dma)).is_some_and(|(slab, page)| {
            // SAFETY: The page is in the map.
            unsafe { slab.memory(page) }.dma_address() == dma
        })
    };

    Ok(held.iter().filter(|(_, dma)| !is_first(*dma)).count())
}

/// Frees all blocks of `held` in an order at random, and allocates as many again, twice.
fn free_and_alloc(pool: &CPool, held: &mut KVec<CBlock>, random: &mut Random) -> Result {
    for _ in 0..2 {
        let count = held.len();

        while let Some((address, dma)) = pop_random(held, random) {
            ensure!(pool.refusal(address, dma).is_none());
        }
        ensure!(pool.holds(0));
        while held.len() < count {
            held.push(pool.alloc()?, GFP_KERNEL)?;
        }
        ensure!(pool.holds(count));
    }
    Ok(())
}

/// Gives a page blocks by the steps in which a pool grows. Nobody gets one before the last step,
/// because until then they could not be freed.
fn add_page_slowly(device: &TestDevice, pool: &CPool) -> Result {
    let raw = pool.raw();
    let mut held = KVec::new();

    while held.is_empty() || pool.statistics().capacity > held.len() as u64 {
        held.push(pool.alloc()?, GFP_KERNEL)?;
    }
    let is_full = || {
        device.starved(|| {
            PROCESS
                .into_iter()
                .all(|flags| pool.alloc_with(flags | bindings::__GFP_NOWARN).is_err())
        })
    };
    let (slab, page) = raw
        .chunks
        .slabs()
        .find_map(|slab| Some((slab, slab.claim_page()?)))
        .ok_or(EINVAL)?;
    // SAFETY: The page was claimed.
    let memory = unsafe { raw.populate(slab, page, GFP_KERNEL)? };

    ensure!(is_full());
    // SAFETY: The page was claimed, and has memory.
    unsafe { slab.fill_words(page, false, &raw.layout) };
    ensure!(is_full());
    for number in raw.numbers_of(memory) {
        let room = raw.by_address.as_ref().ok_or(EINVAL)?.claim(GFP_KERNEL)?;

        // SAFETY: The slab is of this pool.
        unsafe { room.enter(number, slab, page) };
    }
    ensure!(is_full());
    // SAFETY: The words are filled, and the map leads to the page.
    unsafe { slab.add_existence(page, &raw.layout) };
    device.starved(|| -> Result {
        for _ in 0..raw.geometry().blocks_per_page() {
            held.push(pool.alloc()?, GFP_ATOMIC)?;
        }
        Ok(())
    })?;
    ensure!(is_full());
    for (address, dma) in held {
        ensure!(pool.refusal(address, dma).is_none());
    }
    Ok(())
}

#[kunit_tests(rust_dmapool_checked)]
mod suite {
    use super::*;

    /// Small blocks, more in a page than a word has bits, with gaps and without; several pages a
    /// slab; pages of several of the CPU's, and of sizes that are no powers of two.
    const ASKED: [[usize; 3]; 12] = [
        [1, 1, 0],
        [16, 16, 0],
        [17, 1, 0],
        [24, 8, 64],
        [20, 4, 64],
        [96, 32, 128],
        [68, 32, 4096],
        [256, 256, 0],
        [2049, 1, 0],
        [4096, 4096, 0],
        [3 * 4096, 4096, 0],
        [65536, 65536, 0],
    ];

    #[test]
    fn refuses_what_is_none() -> Result {
        let device = TestDevice::new(c"dmapool-refuses")?;

        for asked in ASKED {
            refuse_wrong(&device, asked).inspect_err(|_| pr_err!("asked for {asked:?}\n"))?;
        }
        let mut random = Random::new(9);
        for _ in 0..100 {
            let [size, align, boundary] = random_geometry(&mut random);
            let asked = [size.max(16), align, boundary];
            // The boundary can be too small for what is made of the size.
            if Geometry::<[u8]>::check(asked[0], align, boundary).is_err() {
                continue;
            }

            refuse_wrong(&device, asked).inspect_err(|_| pr_err!("asked for {asked:?}\n"))?;
        }
        Ok(())
    }

    /// A map of many pages has outgrown several tables, in the largest of which some pages stand
    /// where others should. Blocks of pages from before are found by way of the newest table.
    #[test]
    fn map_of_many_pages() -> Result {
        let device = TestDevice::new(c"dmapool-many-pages")?;
        let mut random = Random::new(10);

        for (asked, count) in [([4096, 4096, 0], 5000), ([65536, 65536, 0], 1200)] {
            let pool = CPool::new(&device, asked)?;
            let mut held = KVec::new();
            let mut taken = KVec::new();

            while held.len() < count {
                // So that pages do not follow each other.
                if random.below(4) == 0 {
                    taken.push(KBox::new([0u8; 4096], GFP_KERNEL)?, GFP_KERNEL)?;
                }
                held.push(pool.alloc()?, GFP_KERNEL)?;
                if held.len().is_power_of_two() && held.len() <= 1024 {
                    free_and_alloc(&pool, &mut held, &mut random)?;
                }
            }
            free_and_alloc(&pool, &mut held, &mut random)?;
            for (address, dma) in &held {
                assert_eq!(
                    pool.refusal(*address, dma + (1 << 40)),
                    Some(BadFree::Foreign)
                );
            }
            // The tables have 8, 32, 128 places and so on. Few collide in one that is large enough.
            assert!(collisions(&pool, &held, 512)? > 0);
            held.drain_all().for_each(|block| pool.free(block));
            assert!(pool.holds(0));
            // The map leads to each page for good.
            assert_eq!(pool.raw().shrink(), 0);
        }
        Ok(())
    }

    /// What is found in a table that was outgrown gets a place in the newest one, even if that is
    /// nearly full of new pages. So a free looks at one place, as a rule.
    #[test]
    fn map_moves_pages() -> Result {
        let device = TestDevice::new(c"dmapool-moved-pages")?;
        let pool = CPool::new(&device, [4096, 4096, 0])?;
        let mut held = KVec::new();

        // There are 170 pages in the tables before the one with 2,048 places, which is for 512.
        while held.len() < 670 {
            held.push(pool.alloc()?, GFP_KERNEL)?;
        }
        // Who has a block noted when it is allocated looks for it, too.
        assert!(pool.raw().policy.debug || not_first(&pool, &held)? >= 170);
        free_and_alloc(&pool, &mut held, &mut Random::new(11))?;
        // One that has collided can be where another one would have been.
        assert!(not_first(&pool, &held)? < 60 + collisions(&pool, &held, 2048)?);
        held.drain_all().for_each(|block| pool.free(block));
        Ok(())
    }

    /// Threads and interrupts can free what they have got at once, while the pool grows.
    #[test]
    fn in_all_contexts() -> Result {
        let device = TestDevice::new(c"dmapool-checked-contexts")?;

        for asked in [[16, 16, 0], [24, 8, 64], [256, 256, 0], [4096, 4096, 0]] {
            for _ in 0..5 {
                let pool = CPool::new(&device, asked)?;

                in_threads(|thread| churn_interrupted(&pool, thread))?;
                assert!(pool.holds(0));
            }
        }
        Ok(())
    }

    #[test]
    fn none_before_it_exists() -> Result {
        let device = TestDevice::new(c"dmapool-exists")?;

        for asked in [
            [96, 32, 128],
            [256, 256, 0],
            [2048, 2048, 0],
            [8192, 8192, 0],
        ] {
            let pool = CPool::new(&device, asked)?;

            // On one CPU, which allocates from the slab of the page.
            Thread::spawn(0, || add_page_slowly(&device, &pool))?.join()?;
        }
        Ok(())
    }

    /// A free that is refused writes nothing, whatever free blocks are filled with.
    #[test]
    fn refused_without_a_trace() -> Result {
        let device = TestDevice::new(c"dmapool-checked-trace")?;

        for asked in [[64, 64, 0], [96, 32, 256]] {
            let pool = CPool::new(&device, asked)?;
            let (address, dma) = pool.alloc()?;
            let last = address.cast::<u8>().wrapping_add(asked[0] - 1);

            pool.free((address, dma));
            // SAFETY: The block is free, and its page stays: nobody but this thread writes there.
            let was = unsafe { last.read_volatile() };
            // SAFETY: As above.
            unsafe { last.write_volatile(0x5a) };
            assert_eq!(pool.refusal(address, dma), Some(BadFree::AlreadyFree));
            // SAFETY: As above.
            assert_eq!(unsafe { last.read_volatile() }, 0x5a);
            // Late writes are looked for.
            // SAFETY: As above.
            unsafe { last.write_volatile(was) };
        }
        Ok(())
    }

    /// Pages without blocks go back, no others, and the map is right after it.
    #[cfg(MODULE)]
    #[test]
    fn shrink() -> Result {
        let device = TestDevice::new(c"dmapool-checked-shrink")?;

        for asked in [[32, 32, 0], [96, 32, 256], [4096, 4096, 0], [8192, 8192, 0]] {
            let pool = CPool::with_reserve(&device, asked, 5)?;
            let reserved = pool.statistics().pages;

            // On one CPU, which fills one page after the other.
            Thread::spawn(0, || fill_and_shrink(&pool, reserved as usize))?.join()?;
            // No address of a page that is gone leads anywhere.
            let (address, dma) = pool.alloc()?;
            pool.free((address, dma));
            assert!(pool.shrink() > 0 && pool.statistics().pages == reserved);
            assert_eq!(pool.refusal(address, dma), Some(BadFree::Foreign));
        }
        Ok(())
    }

    #[test]
    fn prefill_and_reserve() -> Result {
        let device = TestDevice::new(c"dmapool-checked-prefill")?;
        let pool = CPool::with_reserve(&device, [256, 256, 0], 20)?;

        assert_eq!(pool.statistics().reserved, 32);
        pool.prefill(1000)?;
        let pages = pool.statistics().pages;
        let mut held = KVec::new();
        for _ in 0..1000 {
            held.push(pool.alloc()?, GFP_KERNEL)?;
        }
        assert_eq!(pool.statistics().pages, pages);
        assert_eq!(pool.prefill(usize::MAX), Err(ENOMEM));
        // It is there for those who may not wait.
        while pool.statistics().live < pool.statistics().capacity {
            held.push(pool.alloc_with(bindings::GFP_ATOMIC)?, GFP_KERNEL)?;
        }
        assert_eq!(pool.statistics().pages, pages);
        for block in held {
            pool.free(block);
        }
        assert!(pool.holds(0));
        assert!(CPool::with_reserve(&device, [256, 256, 0], 5000).is_err());
        Ok(())
    }

    #[test]
    fn destroyed_by_devres() -> Result {
        let held = pages_held();
        let device = TestDevice::new(c"dmapool-checked-devres")?;
        let pool = CPool::new_managed(&device, [64, 64, 0])?;
        let early = CPool::new_managed(&device, [64, 64, 0])?;

        pool.free(pool.alloc()?);
        early.free(early.alloc()?);
        assert_eq!(pages_held() - held, 2);
        // SAFETY: It comes from devres, and is not used any more.
        unsafe { dmam_pool_destroy(early.0) };
        assert_eq!(pages_held() - held, 1);
        drop(device);
        assert_eq!(pages_held(), held);
        Ok(())
    }

    /// Blocks of one CPU are freed by another one.
    #[test]
    fn from_one_to_another() -> Result {
        let device = TestDevice::new(c"dmapool-checked-over")?;

        for asked in [[16, 16, 0], [1024, 1024, 0]] {
            let pool = CPool::new(&device, asked)?;
            let mut owner = Owner::new(&pool, 1)?;

            for round in 0..200 {
                Thread::spawn(round % nr_cpu_ids(), || {
                    while owner.held.len() < MOST {
                        owner.alloc_one(&PROCESS)?;
                    }
                    Ok(())
                })?
                .join()?;
                Thread::spawn((round + 1) % nr_cpu_ids(), || owner.free_all())?.join()?;
                assert!(pool.holds(0));
            }
            let needed = MOST.div_ceil(pool.raw().geometry().blocks_per_page() as usize);
            assert!(may_have(needed).contains(&(pool.statistics().pages as usize)));
        }
        Ok(())
    }
}
