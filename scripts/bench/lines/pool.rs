// SPDX-License-Identifier: GPL-2.0

//! The core of `rust_dmapool`, from the sources of the module and not a copy, as the model calls
//! it: as a library for C.

// What the public face uses, and what messages say.
#![allow(dead_code, unused_variables)]

include!("../../loom/src/core.rs");

#[path = "../../loom/src/helpers.rs"]
mod helpers;

pub use allocator::{
    geometry::RawGeometry,
    options::Options, //
};

use allocator::{
    free::Allocated,
    pool::RawPool, //
};
use core::mem::transmute;
use kernel::{
    device::Device,
    prelude::*, //
};

/// What `lines.h` has as `struct block`.
#[repr(C)]
struct AnyBlock([u64; 2]);

/// A pool that is never destroyed.
fn create([size, align, boundary]: [usize; 3], options: Options) -> &'static RawPool<'static> {
    let geometry = RawGeometry::check(size, align, boundary).unwrap();
    let dev = Device::new().unwrap();
    let pool = RawPool::new(dev, c"model", geometry, options);
    let pool = KBox::new(pool.unwrap(), GFP_KERNEL).unwrap();

    // SAFETY: Nobody frees the box, nor has used the pool.
    unsafe {
        pool.start().unwrap();
        &*KBox::into_raw(pool)
    }
}

#[no_mangle]
extern "C" fn rust_pool_create(
    size: usize,
    align: usize,
    boundary: usize,
) -> &'static RawPool<'static> {
    create([size, align, boundary], Options::new())
}

#[no_mangle]
extern "C" fn rust_pool_alloc(pool: &'static RawPool<'static>) -> AnyBlock {
    let block = pool.alloc(GFP_KERNEL).unwrap();

    // SAFETY: A pointer and a number are two words.
    unsafe { transmute::<Allocated<'static>, AnyBlock>(block) }
}

/// # Safety
///
/// `block` must come from [`rust_pool_alloc`], and not be used after this.
#[no_mangle]
unsafe extern "C" fn rust_pool_free(_pool: &'static RawPool<'static>, block: AnyBlock) {
    // SAFETY: By the requirements this was an `Allocated`, which is used no more.
    unsafe { transmute::<AnyBlock, Allocated<'static>>(block).free() };
}

/// As `dmapool/c_pool.rs` makes them.
#[no_mangle]
extern "C" fn by_c_pool_create(
    size: usize,
    align: usize,
    boundary: usize,
) -> &'static RawPool<'static> {
    let options = Options {
        checked_frees: true,
        ..Options::new()
    };

    create([size, align, boundary], options)
}

#[no_mangle]
extern "C" fn by_c_pool_alloc(pool: &'static RawPool<'static>) -> AnyBlock {
    let mut dma = 0;
    // SAFETY: It is writable.
    let address = unsafe { pool.alloc_checked(GFP_KERNEL, &mut dma) };

    assert!(!address.is_null());
    AnyBlock([address as u64, dma])
}

/// # Safety
///
/// `block` must come from [`by_c_pool_alloc`], and not be used after this.
#[no_mangle]
unsafe extern "C" fn by_c_pool_free(pool: &'static RawPool<'static>, block: AnyBlock) {
    let AnyBlock([address, dma]) = block;

    // SAFETY: By the requirements the block is the caller's, who gives it up.
    unsafe { pool.free_by_address(address as *mut u8, dma) }.unwrap();
}
