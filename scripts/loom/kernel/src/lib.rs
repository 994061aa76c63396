// SPDX-License-Identifier: GPL-2.0

//! As much of the `kernel` crate as `dmapool/` uses, for loom to run that code in.
//!
//! What matters to the models is in [`model`], [`sync::atomic`], [`alloc`], [`dma`] and [`xarray`]:
//! atomic operations are loom's, and memory knows who may touch it. The rest is there so that the
//! files compile as they are. Names and signatures are those of the real crate, simplified.

pub mod alloc;
pub mod bindings;
pub mod cpu;
pub mod device;
pub mod dma;
pub mod error;
pub mod io;
pub mod model;
pub mod pin_init;
pub mod prelude;
pub mod ptr;
pub mod str;
pub mod sync;
pub mod types;
pub mod xarray;

pub use core::fmt;

pub mod page {
    /// Enough for a page of 65 blocks, which needs a second word of the bitmap for the last one.
    pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
    pub const PAGE_SHIFT: usize = 13;
}

#[macro_export]
macro_rules! static_assert {
    ($condition:expr $(,)?) => {
        const _: () = assert!($condition);
    };
}

/// Whatever the pool complains of is a mistake of the pool's or of the model.
#[macro_export]
macro_rules! dev_err {
    ($dev:expr, $($message:tt)*) => {
        $dev.complain(stringify!($($message)*))
    };
}

#[macro_export]
macro_rules! fmt {
    ($($arguments:tt)*) => {
        core::format_args!($($arguments)*)
    };
}
