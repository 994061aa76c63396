// SPDX-License-Identifier: GPL-2.0

//! The part of `hostile.c` for what a pool gives back while it is in use, which only pools of Rust
//! do.

use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    error::{
        from_result,
        to_result, //
    },
    io::Io,
    prelude::*, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Pool, //
};

/// What `hostile.c` knows of the device.
#[repr(C)]
struct Hostile {
    _opaque: [u8; 0],
}

extern "C" {
    fn hostile_hold(h: *mut Hostile, v: *mut c_void, dma: DmaAddress);
    fn hostile_reach(h: *mut Hostile) -> c_int;
}

/// In the blocks that are kept.
const STAMP: [u64; 8] = [0x5eed; 8];

type Stamped<'pool> = Block<'pool, [u64; 8]>;

/// A block with a page of its own.
fn stamped<'pool>(pool: &'pool Pool<'_, [u64; 8]>) -> Result<Stamped<'pool>> {
    let block = pool.zalloc(GFP_KERNEL)?;

    block.copy_write(STAMP);
    Ok(block)
}

/// Has two of four pages given back and attacked.
fn attack(h: *mut Hostile, dev: &Device<Bound>) -> Result {
    let geometry = Geometry::new::<4096, 4096, 0>();
    let pool = Pool::new(dev, c"shrinking", geometry)?;

    let kept = [stamped(&pool)?, stamped(&pool)?];
    let given_back = [stamped(&pool)?, stamped(&pool)?];
    for block in &given_back {
        // SAFETY: `h` is good for this, and these are the addresses of a block.
        unsafe { hostile_hold(h, block.as_ptr().cast(), block.dma_address()) };
    }
    drop(given_back);
    if pool.shrink() != 2 {
        return Err(EBUSY);
    }
    // SAFETY: `h` is good for this.
    to_result(unsafe { hostile_reach(h) })?;

    // The pool is as good as before.
    let again = [stamped(&pool)?, stamped(&pool)?];
    let intact = |block: &Stamped<'_>| block.copy_read() == STAMP;
    if !kept.iter().all(intact) || !again.iter().all(intact) {
        return Err(EIO);
    }
    Ok(())
}

/// See [`attack`].
///
/// # Safety
///
/// `dev` must be a device that is bound, for whose driver `h` is.
#[no_mangle]
unsafe extern "C" fn hostile_shrink(h: *mut Hostile, dev: *mut bindings::device) -> c_int {
    // SAFETY: The caller passes a device that is bound.
    let dev: &Device<Bound> = unsafe { &*dev.cast() };

    from_result(|| attack(h, dev).map(|()| 0))
}
