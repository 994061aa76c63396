// SPDX-License-Identifier: GPL-2.0

//! Allocates blocks of `size` bytes in one of several ways, and frees them, when it is loaded: for
//! the scenario to see how often that asked CMA for memory.

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
use rust_dmapool::{
    Geometry,
    Options,
    Pool, //
};

const BLOCKS: usize = 500;

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
    fn rust_dma_pool_free(
        pool: *mut bindings::dma_pool,
        address: *mut c_void,
        dma: bindings::dma_addr_t,
    );
}

/// By the interface for C, this module's or if `of_c` the kernel's own.
fn by_c(dev: &Device<Bound>, of_c: bool, size: usize, flags: bindings::gfp_t) -> Result {
    let dev = ptr::from_ref(dev).cast_mut();
    let node = bindings::NUMA_NO_NODE;
    let mut blocks = KVec::with_capacity(BLOCKS, GFP_KERNEL)?;
    let mut failed = 0;

    // SAFETY: The device is bound for longer than the pool lives, which gets back all of its
    // blocks.
    unsafe {
        let pool = if of_c {
            bindings::dma_pool_create_node(c"calls".as_char_ptr(), dev.cast(), size, 0, 0, node)
        } else {
            rust_dma_pool_create_node(c"calls".as_char_ptr(), dev.cast(), size, 0, 0, node)
        };
        if pool.is_null() {
            return Err(ENOMEM);
        }
        for _ in 0..BLOCKS {
            let mut dma = 0;
            let block = if of_c {
                bindings::dma_pool_alloc(pool, flags, &mut dma)
            } else {
                rust_dma_pool_alloc(pool, flags, &mut dma)
            };

            if block.is_null() || blocks.push((block, dma), GFP_KERNEL).is_err() {
                failed += 1;
            }
        }
        for (block, dma) in blocks {
            if of_c {
                bindings::dma_pool_free(pool, block, dma);
            } else {
                rust_dma_pool_free(pool, block, dma);
            }
        }
        if of_c {
            bindings::dma_pool_destroy(pool);
        } else {
            rust_dma_pool_destroy(pool);
        }
    }
    if failed != 0 {
        return Err(ENOMEM);
    }
    Ok(())
}

fn run(dev: &Device<Bound>, way: u32, size: usize) -> Result {
    const GFP_NOIO: bindings::gfp_t =
        1 << bindings::___GFP_DIRECT_RECLAIM_BIT | 1 << bindings::___GFP_KSWAPD_RECLAIM_BIT;
    let min_nr = if way == 3 { BLOCKS } else { 0 };
    let options = Options::new().min_nr(min_nr);
    let geometry = Geometry::check(size, 0, 0)?;

    match way {
        4 => return by_c(dev, false, size, bindings::GFP_KERNEL),
        5 => return by_c(dev, false, size, GFP_NOIO),
        6 => return by_c(dev, true, size, bindings::GFP_KERNEL),
        7 => return by_c(dev, true, size, GFP_NOIO),
        _ => {}
    }
    let pool = Pool::<[u8]>::new_with(dev, c"calls", geometry, options)?;
    let mut blocks = KVec::with_capacity(BLOCKS, GFP_KERNEL)?;
    for _ in 0..BLOCKS {
        blocks.push(None, GFP_KERNEL)?;
    }
    match way {
        0 => {
            for block in blocks.iter_mut() {
                *block = Some(pool.alloc(GFP_KERNEL)?);
            }
        }
        1 => pool.prefill(BLOCKS, GFP_KERNEL)?,
        2 => pool.alloc_bulk(&mut blocks, GFP_KERNEL)?,
        3 => {}
        _ => return Err(EINVAL),
    }
    Ok(())
}

struct CmaCalls;

impl kernel::Module for CmaCalls {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let registration = faux::Registration::new(c"cma-calls", None)?;
        let dev: &faux::Device<Bound> = registration.as_ref();
        let dev: &Device<Bound> = dev.as_ref();
        let raw: *mut bindings::device = ptr::from_ref(dev).cast_mut().cast();

        // SAFETY: Nobody does DMA with this device yet.
        unsafe {
            (*raw).coherent_dma_mask = u64::MAX;
            (*raw).dma_mask = &raw mut (*raw).coherent_dma_mask;
        }
        run(
            dev,
            module_parameters::way.value(),
            module_parameters::size.value() as usize,
        )?;
        Ok(Self)
    }
}

module! {
    type: CmaCalls,
    name: "cma_calls",
    authors: ["The rust_dmapool authors"],
    description: "Has pools grow in different ways",
    license: "GPL v2",
    params: {
        way: u32 {
            default: 0,
            description: "As the scenario cma-calls numbers them",
        },
        size: u32 {
            default: 64,
            description: "Bytes of a block",
        },
    },
}
