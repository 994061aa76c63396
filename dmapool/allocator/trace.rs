// SPDX-License-Identifier: GPL-2.0

//! The tracepoints, which `dmapool/sys/dmapool_trace.h` defines.
//!
//! Whether somebody looks at one is a static branch: an instruction that does nothing until the
//! kernel patches it.

use super::super::sys::prelude::*;
use super::pool::RawPool;
#[cfg(all(CONFIG_TRACEPOINTS, not(all(MODULE, CONFIG_JUMP_LABEL))))]
use kernel::static_branch_unlikely as static_branch;

// What the crate `kernel` has of that name reads a file that packaged headers lack.
#[cfg(all(CONFIG_TRACEPOINTS, MODULE, CONFIG_JUMP_LABEL))]
macro_rules! static_branch {
    ($key:path, $type:ty, $field:ident) => {'is_on: {
        kernel::asm!(
            include!(concat!(env!("DMAPOOL_OBJ"), "/dmapool/sys/static_branch.rs"));
            l_yes = label { break 'is_on true },
            symb = sym $key,
            off = const core::mem::offset_of!($type, $field),
            branch = const 0,
            options(nomem, nostack, preserves_flags)
        );
        false
    }};
}

macro_rules! tracepoints {
    ($($event:ident: $size:ident($($arg:ident: $type:ty),*);)*) => {$(
        pub(crate) mod $event {
            use super::*;

            #[cfg(CONFIG_TRACEPOINTS)]
            #[allow(improper_ctypes)]
            extern "C" {
                #[link_name = concat!("__tracepoint_rust_dmapool_", stringify!($event))]
                static TRACEPOINT: bindings::tracepoint;
                #[link_name = concat!("rust_do_trace_rust_dmapool_", stringify!($event))]
                fn trace(
                    dev: *const c_void, pool: *const c_char, size: usize, $($arg: $type),*
                );
            }

            /// Whether somebody looks at it. If the kernel has no tracepoints, nobody does.
            #[inline(always)]
            pub(crate) fn is_on() -> bool {
                #[cfg(CONFIG_TRACEPOINTS)]
                // SAFETY: The key is that of a tracepoint of C.
                return unsafe { static_branch!(TRACEPOINT, bindings::tracepoint, key) };
                #[cfg(not(CONFIG_TRACEPOINTS))]
                false
            }

            #[inline(always)]
            pub(crate) fn call(pool: &RawPool<'_>, $($arg: $type),*) {
                if is_on() {
                    record(pool, $($arg),*);
                }
            }

            #[cold]
            #[inline(never)]
            #[cfg_attr(not(CONFIG_TRACEPOINTS), allow(unused_variables))]
            fn record(pool: &RawPool<'_>, $($arg: $type),*) {
                #[cfg(CONFIG_TRACEPOINTS)]
                // SAFETY: The device is one, and the name a string. No other address is followed.
                unsafe {
                    let name = pool.name.as_char_ptr();
                    trace(as_raw(pool.dev).cast(), name, pool.geometry().$size(), $($arg),*)
                };
            }
        }
    )*};
}

// What each has besides the pool, and the bytes of its blocks or of its pages.
tracepoints! {
    create: size(page: usize, live: u64);
    destroy: size(page: usize, live: u64);
    alloc: size(address: *mut u8, dma: DmaAddress, flags: bindings::gfp_t);
    free: size(address: *mut u8, dma: DmaAddress);
    grow: page_size(address: *mut u8, dma: DmaAddress, flags: bindings::gfp_t, why: u32);
    shrink: page_size(address: *mut u8, dma: DmaAddress);
    fail: size(flags: bindings::gfp_t);
    bad_free: size(address: *mut u8, dma: DmaAddress, reason: u32);
}
