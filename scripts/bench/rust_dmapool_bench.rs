// SPDX-License-Identifier: GPL-2.0

//! Measures `mm/dmapool.c` and `rust_dmapool` side by side, when it is loaded.

use core::ptr;
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    faux,
    prelude::*, //
};
use rust_dmapool::Block;

#[path = "../../dmapool/tests/thread.rs"]
mod thread;
mod workloads;
use workloads::{
    measure,
    pools::{
        new_rust_pool,
        AnyPool,
        CPool, //
    },
    run_all,
    Extent, //
};

/// What the kernel has for objects that are not for DMA: memory that no device can find.
struct Slub(*mut bindings::kmem_cache);

// SAFETY: Any number of threads may use a cache.
unsafe impl Sync for Slub {}
// SAFETY: As above.
unsafe impl Send for Slub {}

impl Slub {
    fn new([size, align, _boundary]: [usize; 3]) -> Result<Self> {
        // All else is zero: no constructor, nothing special.
        let mut args = bindings::kmem_cache_args {
            // CAST: Alignments are small.
            align: align as u32,
            ..Default::default()
        };

        // SAFETY: The name and the arguments are there for the call; a name that is kept is copied.
        let cache = unsafe {
            bindings::__kmem_cache_create_args(
                c"dmapool-bench".as_char_ptr(),
                size as u32,
                &mut args,
                0,
            )
        };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        Ok(Self(cache))
    }
}

impl Drop for Slub {
    fn drop(&mut self) {
        // SAFETY: The cache exists, and all objects were freed.
        unsafe { bindings::kmem_cache_destroy(self.0) };
    }
}

/// What `kmem_cache_alloc()` returns.
struct Object(*mut c_void);

// SAFETY: This is just an address.
unsafe impl Send for Object {}

impl AnyPool for Slub {
    const NAME: &'static str = "slub";
    type Held<'a> = Object;

    #[inline(always)]
    fn alloc(&self) -> Option<Object> {
        // SAFETY: The cache exists.
        let object = unsafe { bindings::kmem_cache_alloc_noprof(self.0, bindings::GFP_KERNEL) };

        (!object.is_null()).then_some(Object(object))
    }

    #[inline(always)]
    fn free(&self, held: Object) {
        // SAFETY: The object comes from this cache, and is not used any more.
        unsafe { bindings::kmem_cache_free(self.0, held.0) };
    }
}

/// Bytes of slab memory that are in use, which is where page records come from.
fn slab_bytes() -> i64 {
    let item = bindings::node_stat_item_NR_SLAB_UNRECLAIMABLE_B as usize;

    // SAFETY: The counters are there and atomic, and this one is in bytes or pages.
    let pages = unsafe { (*(&raw const bindings::vm_node_stat[item])).counter };
    pages * kernel::page::PAGE_SIZE as i64
}

/// What a pool of many pages takes besides their memory, for each 4 KiB of it.
fn metadata(dev: &Device<Bound>, size: usize) -> Result {
    const PAGES: usize = 16_384;
    let pool = new_rust_pool(dev, [size, size, 0], 0)?;
    let before = slab_bytes();

    pool.prefill(PAGES * 4096 / size, GFP_KERNEL)?;
    let after = slab_bytes();
    let pages = i64::from(pool.statistics().pages);
    pr_info!("metadata {size} {}\n", (after - before) / pages.max(1));
    Ok(())
}

/// What a pool with one block takes besides the page in which that lies.
fn one_block<const OURS: bool>(dev: &Device<Bound>) -> Result {
    // The counter is off by what each CPU keeps to itself.
    const POOLS: usize = 10_000;
    let mut pools = KVVec::with_capacity(POOLS, GFP_KERNEL)?;
    let before = slab_bytes();

    for _ in 0..POOLS {
        let pool = CPool::<OURS, false>::new(dev, [64, 64, 0])?;
        let block = pool.alloc().ok_or(ENOMEM)?;

        pools.push((pool, block), GFP_KERNEL)?;
    }
    let each = (slab_bytes() - before) / POOLS as i64;
    for (pool, block) in pools {
        pool.free(block);
    }
    let name = <CPool<OURS, false> as AnyPool>::NAME;
    pr_info!("one-block {name} {each}\n");
    Ok(())
}

struct Bench;

impl kernel::Module for Bench {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let registration = faux::Registration::new(c"rust-dmapool-bench", None)?;
        let dev: &faux::Device<Bound> = registration.as_ref();
        let dev: &Device<Bound> = dev.as_ref();
        let raw: *mut bindings::device = ptr::from_ref(dev).cast_mut().cast();

        // SAFETY: Nobody does DMA with this device yet.
        unsafe {
            (*raw).coherent_dma_mask = u64::MAX;
            (*raw).dma_mask = &raw mut (*raw).coherent_dma_mask;
        }

        let extent = Extent {
            runs: module_parameters::runs.value(),
            rounds: module_parameters::rounds.value(),
            threads: module_parameters::threads.value(),
        };
        run_all(dev, &extent, |w, rounds, threads| {
            if module_parameters::slub.value() {
                measure(|| Slub::new(w.geometry), w, rounds, threads)?;
            }
            Ok(())
        })?;
        for size in [8, 16, 64, 256, 1024, 4096] {
            metadata(dev, size)?;
        }
        one_block::<false>(dev)?;
        one_block::<true>(dev)?;
        pr_info!("block {}\n", size_of::<Block<'_>>());
        pr_info!("done\n");
        Ok(Bench)
    }
}

module! {
    type: Bench,
    name: "rust_dmapool_bench",
    authors: ["The rust_dmapool authors"],
    description: "Measures DMA pools side by side",
    license: "GPL v2",
    params: {
        runs: u32 {
            default: 7,
            description: "Runs of each workload on each pool",
        },
        rounds: u32 {
            default: 100,
            description: "Rounds of each run",
        },
        threads: u32 {
            default: 1,
            description: "The most threads to run at once: each power of two up to that",
        },
        slub: bool {
            default: false,
            description: "Measure kmem_cache_alloc() as well",
        },
    },
}
