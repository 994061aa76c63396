// SPDX-License-Identifier: GPL-2.0

//! As much of the `kernel` crate as `dmapool/` uses, for that code to run in user space.
//!
//! There are two machines for it. loom's has [`model`], [`sync::atomic`] and [`dma::Coherent`] of
//! its own: atomic operations are loom's, and memory knows who may touch it. With `--cfg host`
//! these are the files in `host/`: atomic operations are the processor's, and nothing is watched,
//! for `scripts/bench/host` to measure; with `--cfg lines` as well, CPUs and memory are those of
//! the model in `scripts/bench/lines`. The rest is there so that the files compile as they are.
//! Names and signatures are those of the real crate, simplified.

pub mod alloc;
pub mod bindings;
pub mod cpu;
#[cfg_attr(host, path = "host/device.rs")]
pub mod device;
pub mod dma;
pub mod error;
pub mod io;
#[cfg_attr(all(host, not(lines)), path = "host/model.rs")]
#[cfg_attr(lines, path = "../../../bench/lines/model.rs")]
pub mod model;
pub mod prelude;
pub mod ptr;
pub mod str;
pub mod sync;
#[cfg(host)]
#[path = "host/time.rs"]
pub mod time;
pub mod types;

pub use core::fmt;

pub mod page {
    pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
    /// For models, enough for a page of 65 blocks, which needs a second word of the bitmap for the
    /// last one.
    pub const PAGE_SHIFT: usize = if cfg!(host) { 12 } else { 13 };
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

#[macro_export]
macro_rules! pr_info {
    ($($message:tt)*) => {
        print!("rust_dmapool_bench: {}", format_args!($($message)*))
    };
}
