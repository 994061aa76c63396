// SPDX-License-Identifier: GPL-2.0

//! The pools that are measured: C's, and this project's by either of its interfaces.

use core::ptr;
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    prelude::*, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Options,
    Pool, //
};

/// What both kinds of pool can do, for the workloads.
pub(crate) trait AnyPool: Sync {
    const NAME: &'static str;

    /// A block that is freed by [`AnyPool::free`] only.
    type Held<'a>: Send
    where
        Self: 'a;

    fn alloc(&self) -> Option<Self::Held<'_>>;
    fn free<'a>(&'a self, held: Self::Held<'a>);
}

// `include/linux/rust_dmapool.h`. What a device consists of is not known to be the same in C.
extern "C" {
    fn rust_dma_pool_create_node(
        name: *const c_char,
        dev: *mut c_void,
        size: usize,
        align: usize,
        boundary: usize,
        node: c_int,
    ) -> *mut bindings::dma_pool;
    fn rust_dma_pool_destroy(pool: *mut bindings::dma_pool);
    fn rust_dma_pool_alloc(
        pool: *mut bindings::dma_pool,
        flags: bindings::gfp_t,
        handle: *mut bindings::dma_addr_t,
    ) -> *mut c_void;
    fn rust_dma_pool_free(pool: *mut bindings::dma_pool, address: *mut c_void, dma: u64);
}

/// A pool as C drivers see it: the kernel's own, or if `OURS` this project's. If `ZERO`, its blocks
/// are zeroed.
pub(crate) struct CPool<const OURS: bool, const ZERO: bool>(*mut bindings::dma_pool);

// SAFETY: C's pools may be used by any number of threads.
unsafe impl<const OURS: bool, const ZERO: bool> Sync for CPool<OURS, ZERO> {}
// SAFETY: As above.
unsafe impl<const OURS: bool, const ZERO: bool> Send for CPool<OURS, ZERO> {}

/// What C's `dma_pool_alloc()` returns.
pub(crate) struct CBlock(*mut c_void, u64);

// SAFETY: These are just addresses.
unsafe impl Send for CBlock {}

impl<const OURS: bool, const ZERO: bool> CPool<OURS, ZERO> {
    pub(crate) fn new(dev: &Device<Bound>, [size, align, boundary]: [usize; 3]) -> Result<Self> {
        let dev = ptr::from_ref(dev).cast_mut();
        let (name, node) = (c"bench".as_char_ptr(), bindings::NUMA_NO_NODE);

        // SAFETY: The device is bound for longer than the pool lives.
        let pool = unsafe {
            if OURS {
                rust_dma_pool_create_node(name, dev.cast(), size, align, boundary, node)
            } else {
                bindings::dma_pool_create_node(name, dev.cast(), size, align, boundary, node)
            }
        };
        if pool.is_null() {
            return Err(ENOMEM);
        }
        Ok(Self(pool))
    }
}

impl<const OURS: bool, const ZERO: bool> Drop for CPool<OURS, ZERO> {
    fn drop(&mut self) {
        let destroy = if OURS {
            rust_dma_pool_destroy
        } else {
            bindings::dma_pool_destroy
        };

        // SAFETY: The pool exists, and all blocks were freed.
        unsafe { destroy(self.0) };
    }
}

impl<const OURS: bool, const ZERO: bool> AnyPool for CPool<OURS, ZERO> {
    const NAME: &'static str = if OURS { "rust-c" } else { "c" };
    type Held<'a> = CBlock;

    #[inline(always)]
    fn alloc(&self) -> Option<CBlock> {
        let zero = if ZERO {
            1 << bindings::___GFP_ZERO_BIT
        } else {
            0
        };
        let flags = bindings::GFP_KERNEL | zero;
        let mut dma = 0;
        // SAFETY: The pool exists.
        let cpu = unsafe {
            if OURS {
                rust_dma_pool_alloc(self.0, flags, &mut dma)
            } else {
                bindings::dma_pool_alloc(self.0, flags, &mut dma)
            }
        };

        (!cpu.is_null()).then_some(CBlock(cpu, dma))
    }

    #[inline(always)]
    fn free(&self, held: CBlock) {
        // SAFETY: The block comes from this pool, and is not used any more.
        unsafe {
            if OURS {
                rust_dma_pool_free(self.0, held.0, held.1)
            } else {
                bindings::dma_pool_free(self.0, held.0, held.1)
            }
        };
    }
}

/// The pool of this project. If `ZERO`, its blocks are zeroed.
pub(crate) struct RustPool<'bound, const ZERO: bool>(pub(crate) Pool<'bound>);

impl<const ZERO: bool> AnyPool for RustPool<'_, ZERO> {
    const NAME: &'static str = "rust";
    type Held<'a>
        = Block<'a>
    where
        Self: 'a;

    #[inline(always)]
    fn alloc(&self) -> Option<Block<'_>> {
        if ZERO {
            self.0.zalloc(GFP_KERNEL).ok()
        } else {
            self.0.alloc(GFP_KERNEL).ok()
        }
    }

    #[inline(always)]
    fn free<'a>(&'a self, held: Block<'a>) {
        drop(held);
    }
}

/// A pool with `min_nr` blocks in its reserve.
pub(crate) fn new_rust_pool<'a>(
    dev: &'a Device<Bound>,
    [size, align, boundary]: [usize; 3],
    min_nr: usize,
) -> Result<Pool<'a>> {
    let geometry = Geometry::check(size, align, boundary)?;

    Pool::new_with(dev, c"bench", geometry, Options::new().min_nr(min_nr))
}
