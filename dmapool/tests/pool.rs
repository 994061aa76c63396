// SPDX-License-Identifier: GPL-2.0

//! A pool in the hands of one thread.

use super::super::{
    Block,
    Geometry,
    InvalidGeometry,
    Options,
    Pool,
    Statistics, //
};
use super::{
    super::{
        allocator::{
            memory::pages_held,
            policy::{
                parameters,
                Policy,
                RED_ZONE, //
            }, //
        },
        instance::Instance, //
    },
    support::*,
    thread::Thread, //
};
use core::{
    mem,
    ops::Range,
    ptr::null_mut, //
};
use kernel::{
    alloc::NumaNode,
    cpu::nr_cpu_ids,
    dma::Coherent,
    interrupt::local_interrupt_disable,
    page::PAGE_SIZE,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

const GEOMETRY: Geometry = Geometry::new::<256, 256, 0>();

/// As many blocks in a page as a word has bits.
const SMALL: Geometry = Geometry::new::<64, 64, 0>();

fn new_pool(device: &TestDevice) -> Result<Pool<'_>> {
    Pool::new(device.bound(), c"test", GEOMETRY)
}

/// Allocates `count` blocks and stamps them.
fn fill_pool<'pool>(pool: &'pool Pool<'_>, count: usize) -> Result<KVec<Stamped<'pool>>> {
    let mut blocks = KVec::new();

    for i in 0..count {
        blocks.push(Stamped::new(pool.alloc(GFP_KERNEL)?, i as u64), GFP_KERNEL)?;
    }
    Ok(blocks)
}

/// Stamps the blocks that there are.
fn stamp_all<'pool>(
    blocks: impl IntoIterator<Item = Option<Block<'pool>>>,
) -> Result<KVec<Stamped<'pool>>> {
    let mut stamped = KVec::new();

    for (block, stamp) in blocks.into_iter().flatten().zip(1000..) {
        stamped.push(Stamped::new(block, stamp), GFP_KERNEL)?;
    }
    Ok(stamped)
}

fn all_intact(blocks: &[Stamped<'_>]) -> bool {
    blocks.iter().all(Stamped::is_intact)
}

/// Fills the pool, and then frees and allocates random ones of its blocks, while it cannot grow.
fn find_each_free_block(device: &TestDevice, pool: &Pool<'_>, count: usize) -> Result {
    let mut blocks = fill_pool(pool, count)?;
    let mut random = Random::new(2);

    for _ in 0..4 {
        let count = 1 + random.below(blocks.len());

        for _ in 0..count {
            drop(pop_random(&mut blocks, &mut random));
        }
        for i in 0..count {
            let block = device.starved(|| pool.alloc(GFP_KERNEL))?;

            blocks.push(Stamped::new(block, i as u64), GFP_KERNEL)?;
        }
        ensure!(all_intact(&blocks));
    }
    Ok(())
}

/// Fills the pool, and replaces random ones of its blocks, for which it may grow by an eighth.
fn replace_in_full(pool: &Pool<'_>, count: usize) -> Result {
    let mut blocks = fill_pool(pool, count)?;
    let mut random = Random::new(4);
    let pages = pool.statistics().pages;

    for stamp in 0..4 * count {
        drop(pop_random(&mut blocks, &mut random));
        blocks.push(
            Stamped::new(pool.alloc(GFP_KERNEL)?, stamp as u64),
            GFP_KERNEL,
        )?;
    }
    ensure!(pool.statistics().pages - pages <= pages / 8);
    ensure!(all_intact(&blocks));
    Ok(())
}

/// Fills page after page, and frees those before, which then are wholly free. In between it frees a
/// block in each of four full pages, which a search comes to first, and allocates these again.
fn fill_behind_full_pages(pool: &Pool<'_>) -> Result {
    const AHEAD: usize = 4;
    const BEHIND: usize = 4;
    let per_page = SMALL.blocks_per_page() as usize;
    let mut full = fill_pool(pool, AHEAD * per_page)?;
    let mut ahead = KVec::new();
    let mut behind = KVec::new();

    for page in 0..AHEAD {
        ahead.push(full.remove(page * (per_page - 1))?, GFP_KERNEL)?;
    }
    for _ in 0..200 {
        behind.push(fill_pool(pool, per_page)?, GFP_KERNEL)?;
        ahead.clear();
        if behind.len() > BEHIND {
            drop(behind.remove(0));
        }
        ahead = fill_pool(pool, AHEAD)?;
    }
    let pages = pool.statistics().pages as usize;

    ensure!(may_have(AHEAD + BEHIND + 1).contains(&pages));
    ensure!(all_intact(&full));
    Ok(())
}

/// How many slabs a pool has.
fn slabs(pool: &Pool<'_>) -> usize {
    pool.instance().raw.chunks.slabs().count()
}

/// Frees blocks at random so that some pages become free, gives these back, and gets pages again,
/// in slabs of which other pages are in use. Runs on one CPU, which fills one page after the other.
fn shrink_and_grow(pool: &Pool<'_>, pages: usize) -> Result {
    let per_page = pool.geometry().blocks_per_page() as usize;
    let mut blocks = fill_pool(pool, pages * per_page)?;
    let mut random = Random::new(5);
    let page_of = |block: &Stamped<'_>| block.dma_address() / pool.geometry().page_size() as u64;

    let slabs_before = slabs(pool);
    for _ in 0..20 {
        let mut keep = KVec::new();
        let mut used = KVec::new();

        // All blocks of a few pages, and a block or two of many others.
        for _ in 0..1 + random.below(pages) {
            let chosen = page_of(&blocks[random.below(blocks.len())]);

            for index in (0..blocks.len()).rev() {
                if page_of(&blocks[index]) == chosen {
                    drop(blocks.remove(index));
                }
            }
            if blocks.is_empty() {
                break;
            }
        }
        for _ in 0..blocks.len() / 4 {
            drop(pop_random(&mut blocks, &mut random));
        }
        for block in blocks {
            let page = page_of(&block);

            if !used.contains(&page) {
                used.push(page, GFP_KERNEL)?;
            }
            keep.push(block, GFP_KERNEL)?;
        }
        let before = pool.statistics();
        let freed = pool.shrink();
        let now = pool.statistics();

        // Those without a block in use, and no others.
        ensure!(now.pages as usize == used.len() && before.pages - now.pages == freed as u32);
        ensure!(all_intact(&keep) && holds(pool, keep.len()));
        blocks = keep;
        while blocks.len() < pages * per_page {
            let stamp = blocks.len() as u64;

            blocks.push(Stamped::new(pool.alloc(GFP_KERNEL)?, stamp), GFP_KERNEL)?;
        }
        ensure!(all_intact(&blocks));
        // What became vacant is used before there is another slab; a few pages more than are needed
        // there may be.
        ensure!(slabs(pool) <= slabs_before + 1);
    }
    Ok(())
}

/// Fills four pages and frees the blocks of the last two, forgets those of the second one, and
/// returns the only one that is left of the first.
fn forget_in_two_pages<'a>(pool: &'a Pool<'_>, per_page: usize) -> Result<Block<'a>> {
    let mut blocks = fill_pool(pool, 4 * per_page)?;

    for _ in 0..2 * per_page {
        drop(blocks.pop());
    }
    for _ in 0..per_page {
        mem::forget(blocks.pop());
    }
    for _ in 1..per_page {
        drop(blocks.pop());
    }
    Ok(blocks.pop().ok_or(EINVAL)?.into_block())
}

#[kunit_tests(rust_dmapool_pool)]
mod suite {
    use super::*;

    #[test]
    fn grows_when_full_only() -> Result {
        let device = TestDevice::new(c"dmapool-grow")?;
        let pool = new_pool(&device)?;
        let per_page = GEOMETRY.blocks_per_page() as usize;

        assert_eq!(pool.statistics().pages, 0);
        for pages in 1..=100 {
            let blocks = fill_pool(&pool, pages * per_page)?;

            assert!(may_have(pages).contains(&(pool.statistics().pages as usize)));
            assert!(holds(&pool, pages * per_page));
            assert!(all_intact(&blocks));
        }
        assert!(holds(&pool, 0));
        Ok(())
    }

    /// More pages than one are asked for only by those who may wait: for the others they can come
    /// from a small pool that everybody shares.
    #[test]
    fn grows_ahead_only_if_it_may_wait() -> Result {
        let device = TestDevice::new(c"dmapool-ahead")?;
        let geometry = Geometry::new::<4096, 4096, 0>();

        for (flags, is_ahead) in [(GFP_KERNEL, true), (GFP_ATOMIC, false), (GFP_NOWAIT, false)] {
            let pool = Pool::<[u8]>::new(device.bound(), c"ahead", geometry)?;
            let mut held = KVec::new();
            let mut most = 0;

            for _ in 0..200 {
                let before = pool.statistics().pages;

                held.push(pool.alloc(flags)?, GFP_KERNEL)?;
                most = most.max(pool.statistics().pages - before);
            }
            assert_eq!((most > 1), is_ahead);
        }
        Ok(())
    }

    /// More slabs than a chunk has, whose blocks are freed and found again in any order.
    #[test]
    fn finds_each_free_block() -> Result {
        let device = TestDevice::new(c"dmapool-find")?;
        let geometry = Geometry::new::<2048, 2048, 0>();
        let pool = Pool::new(device.bound(), c"find", geometry)?;

        find_each_free_block(&device, &pool, 20_000)?;
        assert!(pool.instance().raw.chunks.iter().count() > 4);
        Ok(())
    }

    /// Blocks of a byte or a few, of which a page has as many as a slab can hold, and large ones.
    #[test]
    fn of_any_size() -> Result {
        let device = TestDevice::new(c"dmapool-any-size")?;

        for size in Iterator::chain(1..=16, [4097, 65536, 100_000]) {
            let geometry = Geometry::check(size, 1, 0)?;
            let pool = Pool::new(device.bound(), c"any-size", geometry)?;
            let count = 1 + 20.max(2 * geometry.blocks_per_page() as usize);

            find_each_free_block(&device, &pool, count)?;
            assert!(holds(&pool, 0));
        }
        Ok(())
    }

    /// Pages of a slab are given back, and it gets others, while its other pages are in use.
    #[test]
    fn shrinks_in_use() -> Result {
        let device = TestDevice::new(c"dmapool-in-use")?;

        // Four pages a slab, 32 of several CPU pages, one with twins, and one without.
        for (geometry, pages) in [
            (GEOMETRY, 40),
            (Geometry::new::<2048, 2048, 0>(), 100),
            (Geometry::new::<8192, 8192, 0>(), 100),
            (Geometry::new::<24, 8, 64>(), 10),
            (Geometry::new::<4, 4, 0>(), 4),
        ] {
            let pool = Pool::new(device.bound(), c"in-use", geometry)?;

            Thread::spawn(0, || shrink_and_grow(&pool, pages))?.join()?;
            assert!(holds(&pool, 0));
        }
        Ok(())
    }

    /// Where pages are nearly full, a search finds next to nothing. A pool grows so that it finds
    /// more, but not by much. All of it on one CPU: each may grow for itself.
    #[test]
    fn grows_little_for_more_to_find() -> Result {
        let device = TestDevice::new(c"dmapool-nearly-full")?;

        for geometry in [
            Geometry::new::<64, 64, 0>(),
            Geometry::new::<256, 256, 0>(),
            Geometry::new::<4096, 4096, 0>(),
        ] {
            let pool = Pool::new(device.bound(), c"nearly-full", geometry)?;
            let thread = Thread::spawn(0, || replace_in_full(&pool, 10_000))?;

            thread.join()?;
        }
        Ok(())
    }

    /// A CPU grows the pool only so far, whatever it finds.
    #[test]
    fn grows_no_further_for_more_to_find() -> Result {
        let device = TestDevice::new(c"dmapool-behind")?;
        let pool = Pool::new(device.bound(), c"behind", SMALL)?;
        let thread = Thread::spawn(0, || fill_behind_full_pages(&pool))?;

        thread.join()
    }

    #[test]
    fn exhaustion_changes_nothing() -> Result {
        let device = TestDevice::new(c"dmapool-exhaust")?;
        let pool = new_pool(&device)?;
        let mut blocks = fill_pool(&pool, 3 * GEOMETRY.blocks_per_page() as usize)?;
        let before = pool.statistics();

        for failures in 1..=10 {
            let result = device.starved(|| pool.alloc(GFP_KERNEL | __GFP_NOWARN).map(drop));
            let expected = Statistics { failures, ..before };

            assert_eq!(result, Err(ENOMEM));
            assert_eq!(pool.statistics(), expected);
        }
        let before = pool.statistics();
        // What is freed can be allocated again, even then.
        drop(blocks.pop());
        let block = device.starved(|| pool.alloc(GFP_ATOMIC))?;
        assert_eq!(pool.statistics(), before);
        // And the pool can grow as soon as there is memory.
        let more = pool.alloc(GFP_KERNEL)?;
        assert!(pool.statistics().pages > before.pages);
        assert!(all_intact(&blocks));
        drop((block, more));
        Ok(())
    }

    /// A ring gets blocks where it has none, as many as there are, and keeps the others.
    #[test]
    fn fills_empty_places() -> Result {
        let device = TestDevice::new(c"dmapool-fill")?;
        let pool = new_pool(&device)?;
        let mut ring: [Option<Block<'_>>; 100] = [const { None }; 100];

        assert_eq!(pool.fill_empty(&mut ring, GFP_KERNEL), 100);
        assert_eq!(pool.fill_empty(&mut ring, GFP_KERNEL), 0);
        let addresses = ring.each_ref().map(|place| {
            let block = place.as_ref()?;

            fill(block, 0xa5);
            Some(block.dma_address())
        });
        for place in ring.iter_mut().step_by(3) {
            *place = None;
        }
        assert_eq!(pool.fill_empty(&mut ring, GFP_KERNEL | __GFP_ZERO), 34);
        for (index, place) in ring.iter().enumerate() {
            let block = place.as_ref().ok_or(EINVAL)?;

            if index % 3 == 0 {
                assert!(is_filled_with(block, 0));
            } else {
                assert_eq!(Some(block.dma_address()), addresses[index]);
                assert!(is_filled_with(block, 0xa5));
            }
        }
        assert!(holds(&pool, 100));

        // From the first one on, as far as there are blocks.
        let free = pool.statistics().capacity as usize - 100;
        let mut more = KVec::new();
        for _ in 0..free + 5 {
            more.push(None, GFP_KERNEL)?;
        }
        let fill = || pool.fill_empty(&mut more, GFP_KERNEL | __GFP_NOWARN);
        assert_eq!(device.starved(fill), free);
        assert!(more[..free].iter().all(Option::is_some));
        assert!(more[free..].iter().all(Option::is_none));
        assert_eq!(pool.fill_empty(&mut more, GFP_KERNEL), 5);
        Ok(())
    }

    #[test]
    fn bulk() -> Result {
        let device = TestDevice::new(c"dmapool-bulk")?;
        let pool = new_pool(&device)?;
        let mut random = Random::new(3);

        for _ in 0..200 {
            let mut blocks: [Option<Block<'_>>; 100] = [const { None }; 100];
            let count = random.below(blocks.len() + 1);
            let single = fill_pool(&pool, random.below(50))?;

            pool.alloc_bulk(&mut blocks[..count], GFP_KERNEL)?;
            assert!(holds(&pool, count + single.len()));
            let stamped = stamp_all(blocks)?;
            assert_eq!(stamped.len(), count);
            assert!(all_intact(&stamped) && all_intact(&single));
        }

        // Zeroed, as single ones are.
        let mut blocks = [const { None }; 100];
        pool.alloc_bulk(&mut blocks, GFP_KERNEL)?;
        blocks.iter().flatten().for_each(|block| fill(block, 0xa5));
        // What the elements held is freed first.
        pool.alloc_bulk(&mut blocks, GFP_KERNEL | __GFP_ZERO)?;
        assert!(blocks
            .iter()
            .flatten()
            .all(|block| is_filled_with(block, 0)));
        assert!(holds(&pool, 100));

        // All or none, though there are blocks for all but the last one.
        let free = pool.statistics().capacity as usize - 100;
        let mut more = KVec::new();
        for _ in 0..free + 1 {
            more.push(None, GFP_KERNEL)?;
        }
        let result = device.starved(|| pool.alloc_bulk(&mut more, GFP_KERNEL | __GFP_NOWARN));
        assert_eq!(result, Err(ENOMEM));
        assert!(more.iter().all(Option::is_none));
        assert!(holds(&pool, 100));
        device.starved(|| pool.alloc_bulk(&mut more[1..], GFP_ATOMIC))?;
        Ok(())
    }

    #[test]
    fn prefill() -> Result {
        let device = TestDevice::new(c"dmapool-prefill")?;
        let pool = new_pool(&device)?;

        for count in [0, 1, 16, 17, 1000] {
            let held = fill_pool(&pool, 5)?;

            pool.prefill(count, GFP_KERNEL)?;
            let free = pool.statistics().capacity as usize - held.len();
            assert!(free >= count);
            let reserved = device.starved(|| fill_pool(&pool, count))?;
            assert!(all_intact(&reserved) && all_intact(&held));
        }
        assert!(holds(&pool, 0));
        let pages = pool.statistics().pages;
        pool.prefill(1000, GFP_KERNEL)?;
        assert_eq!(pool.statistics().pages, pages);

        // Not one too few, wherever in a page that is.
        for count in 1..=2 * GEOMETRY.blocks_per_page() as usize {
            let pool = new_pool(&device)?;

            pool.prefill(count, GFP_KERNEL)?;
            assert!(pool.statistics().capacity as usize >= count);
        }

        let result = device.starved(|| pool.prefill(5000, GFP_KERNEL | __GFP_NOWARN));
        assert_eq!(result, Err(ENOMEM));
        assert_eq!(pool.statistics().pages, pages);
        Ok(())
    }

    #[test]
    fn shrink() -> Result {
        let device = TestDevice::new(c"dmapool-shrink")?;
        let pool = new_pool(&device)?;
        let held = pages_held();

        assert_eq!(pool.shrink(), 0);
        for round in 1..=5 {
            let mut blocks = fill_pool(&pool, 1000 * round)?;
            let pages = pool.statistics().pages as usize;

            // The blocks of the first pages stay.
            blocks.truncate(100);
            let freed = pool.shrink();
            assert!(freed > 0 && pool.statistics().pages as usize == pages - freed);
            assert_eq!(pages_held() - held, pages - freed);
            assert!(holds(&pool, 100));
            assert!(all_intact(&blocks));

            drop(blocks);
            assert_eq!(pool.shrink(), pages - freed);
            assert!(holds(&pool, 0));
            assert_eq!(pool.statistics().capacity, 0);
            assert_eq!(pages_held(), held);
        }
        Ok(())
    }

    #[test]
    fn statistics() -> Result {
        let device = TestDevice::new(c"dmapool-stats")?;
        let pool = new_pool(&device)?;
        let per_page = u64::from(GEOMETRY.blocks_per_page());

        let blocks = fill_pool(&pool, 3 * per_page as usize + 2)?;
        let now = pool.statistics();
        assert_eq!((now.pages, now.capacity), (4, 4 * per_page));
        assert_eq!(
            (now.live, now.high_water),
            (3 * per_page + 2, 3 * per_page + 2)
        );
        drop(blocks);
        let now = pool.statistics();
        assert_eq!((now.live, now.high_water), (0, 3 * per_page + 2));
        assert_eq!(now.failures, 0);

        // The mark is known without having been asked for when it was high.
        let pool = new_pool(&device)?;
        drop(fill_pool(&pool, 3 * per_page as usize + 2)?);
        assert_eq!(pool.statistics().high_water, 3 * per_page + 1);
        Ok(())
    }

    /// A page for which there was no memory is used by the next growth.
    #[test]
    fn failed_growth_leaves_a_page() -> Result {
        let device = TestDevice::new(c"dmapool-vacant")?;
        let pool = new_pool(&device)?;
        let per_slab = 64;

        // On one CPU, which has a slab for what it adds.
        Thread::spawn(0, || {
            let mut blocks = KVec::new();

            for slabs_to_be in 1..=5 {
                for _ in 0..3 {
                    let result = device.starved(|| pool.alloc(GFP_KERNEL | __GFP_NOWARN).map(drop));

                    ensure!(result == Err(ENOMEM));
                    // Beside the one with which all CPUs begin.
                    ensure!(slabs(&pool) == 1 + slabs_to_be);
                }
                while blocks.len() < slabs_to_be * per_slab {
                    blocks.push(Stamped::new(pool.alloc(GFP_KERNEL)?, 3), GFP_KERNEL)?;
                    ensure!(slabs(&pool) == 1 + slabs_to_be);
                }
                ensure!(pool.statistics().capacity == blocks.len() as u64);
            }
            ensure!(all_intact(&blocks));
            Ok(())
        })?
        .join()?;
        assert!(holds(&pool, 0));
        Ok(())
    }

    /// A page that another CPU could not get memory for, or gave back, is used as well, before
    /// there is another slab.
    #[test]
    fn vacant_pages_of_others() -> Result {
        let device = TestDevice::new(c"dmapool-vacant-others")?;
        let pool = Pool::new(device.bound(), c"vacant", Geometry::new::<4096, 4096, 0>())?;
        let mut most = 0;

        for round in 0..20 {
            Thread::spawn(round % nr_cpu_ids(), || {
                let blocks = fill_pool(&pool, 100)?;

                ensure!(all_intact(&blocks));
                Ok(())
            })?
            .join()?;
            assert!(pool.shrink() >= 100);
            assert_eq!(pool.statistics().pages, 0);
            if round < nr_cpu_ids() {
                most = slabs(&pool);
            }
            assert!(slabs(&pool) <= most);
        }
        Ok(())
    }

    /// What threads that grow at the same time do: each adds a page, and all but the last one's are
    /// no longer the CPU's, with blocks left.
    #[test]
    fn racing_growth_loses_nothing() -> Result {
        let device = TestDevice::new(c"dmapool-race")?;

        for geometry in [SMALL, GEOMETRY, Geometry::new::<16, 16, 0>()] {
            // SAFETY: The pool is dropped.
            let pool =
                unsafe { Instance::new((), device.bound(), c"race", *geometry, Options::new())? };
            let pool = &pool.raw;
            let mut held = KVec::new();

            for _ in 0..12 {
                held.push(
                    pool.grow_for_need(pool.pages.get(), GFP_KERNEL)?,
                    GFP_KERNEL,
                )?;
            }
            assert_eq!((pool.statistics().pages, pool.statistics().live), (12, 12));
            device.starved(|| -> Result {
                while held.len() < 12 * geometry.blocks_per_page() as usize {
                    held.push(pool.alloc(GFP_KERNEL)?, GFP_KERNEL)?;
                }
                Ok(())
            })?;
            assert_eq!(pool.statistics().pages, 12);
            for block in held {
                // SAFETY: The block is not used any more.
                unsafe { block.free() };
            }
            assert!(pool.statistics().live == 0 && pool.unpublished_slabs() == 0);
        }
        Ok(())
    }

    #[test]
    fn zeroing() -> Result {
        if !reuses_at_once() {
            return Ok(());
        }
        let device = TestDevice::new(c"dmapool-zero")?;
        let pool = new_pool(&device)?;

        for flags in [GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT] {
            let block = pool.alloc(flags)?;
            fill(&block, 0xa5);
            drop(block);

            let block = pool.zalloc(flags)?;
            assert!(is_filled_with(&block, 0));
            fill(&block, 0xa5);
            drop(block);

            assert!(is_filled_with(&pool.alloc(flags | __GFP_ZERO)?, 0));
        }

        // Without being asked to, a pool leaves the contents alone; unless the kernel was booted
        // with `init_on_alloc=1` or `init_on_free=1`, or the module loaded with `poison=1`, as they
        // are for some of the runs.
        let contents = Policy::new();
        let block = pool.alloc(GFP_KERNEL)?;
        let first = block.as_ptr().cast::<u8>();
        fill(&block, 0x5a);
        drop(block);
        // SAFETY: The block is free, but its page stays while the pool is not shrunk.
        let when_free = unsafe { first.read_volatile() };
        assert_eq!(when_free, contents.on_free().unwrap_or(0x5a));

        let expected = contents.on_alloc(GFP_KERNEL).unwrap_or(when_free);
        assert!(is_filled_with(&pool.alloc(GFP_KERNEL)?, expected));
        if contents.on_alloc(GFP_KERNEL) == Some(0) && !parameters().poison {
            // Not only what happens to be zero.
            // SAFETY: As above, and nobody has the block.
            unsafe { first.write_bytes(0x5a, GEOMETRY.size()) };
            assert!(is_filled_with(&pool.alloc(GFP_KERNEL)?, 0));
        }
        Ok(())
    }

    /// What lies between the end of a block and the next one belongs to the block, but for a red
    /// zone.
    #[test]
    fn fills_the_stride() -> Result {
        if !reuses_at_once() {
            return Ok(());
        }
        let device = TestDevice::new(c"dmapool-stride")?;
        let geometry = Geometry::new::<100, 128, 0>();
        let pool = Pool::<[u8]>::new(device.bound(), c"stride", geometry)?;
        let contents = Policy::new();
        let stride = geometry.stride();
        let (whole, red) = if parameters().has_red_zones() {
            (geometry.size(), geometry.size()..stride)
        } else {
            (stride, stride..stride)
        };
        let all_are = |first: *mut u8, mut bytes: Range<usize>, value| {
            // SAFETY: The block's page has that many bytes, and stays while the pool is not shrunk.
            bytes.all(|i| unsafe { first.add(i).read_volatile() } == value)
        };
        let (block, next) = (pool.alloc(GFP_KERNEL)?, pool.alloc(GFP_KERNEL)?);
        let first = block.as_ptr().cast::<u8>();

        assert_eq!(block.as_ptr().len(), 100);
        fill(&next, 0x5a);
        // SAFETY: The block has that many.
        unsafe { first.write_bytes(0xa5, whole) };
        drop(block);
        assert!(all_are(
            first,
            0..stride,
            contents.on_free().unwrap_or(0xa5)
        ));

        let block = pool.zalloc(GFP_KERNEL)?;
        assert_eq!(block.as_ptr().cast::<u8>(), first);
        assert!(all_are(first, 0..whole, 0));
        assert!(all_are(first, red, RED_ZONE));
        // The next one's bytes are not among them.
        assert!(is_filled_with(&next, 0x5a));
        Ok(())
    }

    #[test]
    fn forgotten_blocks_keep_their_pages() -> Result {
        let device = TestDevice::new(c"dmapool-forget")?;
        let pool = new_pool(&device)?;
        let per_page = GEOMETRY.blocks_per_page() as usize;
        let held = pages_held();
        let address = Atomic::new(null_mut::<u8>());

        // On one CPU, which fills one page after the other.
        Thread::spawn(0, || {
            let last = forget_in_two_pages(&pool, per_page)?;

            fill(&last, 0x5a);
            address.store(last.as_ptr().cast::<u8>(), Relaxed);
            mem::forget(last);
            Ok(())
        })?
        .join()?;
        let address = address.load(Relaxed);

        assert!(holds(&pool, per_page + 1));
        drop(pool);
        assert_eq!(pages_held() - held, 2);

        // Nobody else gets their memory; what was freed last would be the first to be allocated.
        let mut others = KVec::new();
        for _ in 0..1000 {
            let page = Coherent::<u8>::zeroed_slice(device.bound(), PAGE_SIZE, GFP_KERNEL)?;
            others.push(page, GFP_KERNEL)?;
        }
        for page in &others {
            let first = page.as_mut_ptr().cast::<u8>();
            assert!(address.addr().wrapping_sub(first.addr()) >= PAGE_SIZE);
        }
        drop(others);
        // SAFETY: The block is allocated for good.
        assert_eq!(unsafe { address.read_volatile() }, 0x5a);
        // The kept pages hold on to the device; so must this, for the leak detector.
        mem::forget(device);
        Ok(())
    }

    #[test]
    fn without_interrupts() -> Result {
        let device = TestDevice::new(c"dmapool-irq")?;
        let pool = new_pool(&device)?;
        let mut blocks = KVec::with_capacity(200, GFP_KERNEL)?;

        pool.prefill(100, GFP_KERNEL)?;
        let prefilled = pool.statistics().capacity as usize;

        let irqs = local_interrupt_disable();
        for i in 0..200 {
            if let Some(block) = alloc_if_possible(&pool, GFP_ATOMIC)? {
                blocks.push(Stamped::new(block, i), GFP_ATOMIC)?;
            }
        }
        let allocated = blocks.len();
        let intact = all_intact(&blocks);
        blocks.clear();
        let empty = holds(&pool, 0);
        drop(irqs);

        // All that there was, and more if the pool could grow.
        let real_time = cfg!(CONFIG_PREEMPT_RT);
        assert_eq!(allocated, if real_time { prefilled } else { 200 });
        assert!(intact);
        assert!(empty);
        Ok(())
    }

    #[test]
    fn names_and_nodes() -> Result {
        let device = TestDevice::new(c"dmapool-name")?;
        let name = c"a name of more than thirty-one bytes is kept whole";
        let options = Options::new().node(NumaNode::new(0)?);
        let pool = Pool::<[u8]>::new_with(device.bound(), name, GEOMETRY, options)?;

        assert!(pool.name() == name);
        assert!(pool.geometry() == &*GEOMETRY);
        assert!(core::ptr::eq(pool.device(), &**device.bound()));
        drop(pool.alloc(GFP_KERNEL)?);
        Ok(())
    }

    #[test]
    fn payload_must_fit() -> Result {
        let refused = Some(InvalidGeometry::Payload { size: 8, align: 8 });
        let table = [
            (8, 8, None),
            (64, 64, None),
            // The block is followed by enough that is its own, but nobody has asked for that.
            (4, 8, refused),
            (8, 4, refused),
            (4, 4, refused),
        ];

        for (size, align, expected) in table {
            assert_eq!(Geometry::<u64>::check(size, align, 0).err(), expected);
        }
        Ok(())
    }
}
