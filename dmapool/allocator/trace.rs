// SPDX-License-Identifier: GPL-2.0

//! The tracepoints, which `dmapool/sys/trace.h` defines.
//!
//! Whether somebody looks at one is a static branch: an instruction that does nothing until the
//! kernel patches it. `declare_trace!` of the kernel crate has that for tracepoints of the kernel.

use super::super::sys::prelude::*;
use super::pool::RawPool;

macro_rules! tracepoints {
    ($($event:ident: $size:ident($($arg:ident: $type:ty),*);)*) => {$(
        #[cfg(all(MODULE, CONFIG_TRACEPOINTS, CONFIG_JUMP_LABEL))]
        kernel::macros::paste! { pub(crate) mod $event {
            use super::*;

            extern "C" {
                /// A `struct tracepoint`.
                static [< __tracepoint_rust_dmapool_ $event >]: c_void;
                fn [< rust_do_trace_rust_dmapool_ $event >](
                    dev: *const c_void, pool: *const c_char, size: usize, $($arg: $type),*
                );
            }

            /// Whether somebody looks at it.
            #[inline(always)]
            pub(crate) fn is_on() -> bool {
                // SAFETY: The code is that of a branch for a static key, which the tracepoint has.
                unsafe {
                    kernel::asm!(
                        include!(concat!(env!("DMAPOOL_OBJ"), "/dmapool/sys/static_branch.rs"));
                        l_yes = label { return true },
                        symb = sym [< __tracepoint_rust_dmapool_ $event >],
                        off = const core::mem::offset_of!(bindings::tracepoint, key),
                        branch = const 0,
                        options(nomem, nostack, preserves_flags)
                    )
                };
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
            fn record(pool: &RawPool<'_>, $($arg: $type),*) {
                let dev = ptr::from_ref(pool.dev).cast();
                let (name, size) = (pool.name.as_char_ptr(), pool.geometry().$size());

                // SAFETY: The device is one, and the name a string. No other address is followed.
                unsafe { [< rust_do_trace_rust_dmapool_ $event >](dev, name, size, $($arg),*) };
            }
        }}

        /// The kernel has no tracepoints, or does not patch code, or this is part of it.
        #[cfg(not(all(MODULE, CONFIG_TRACEPOINTS, CONFIG_JUMP_LABEL)))]
        pub(crate) mod $event {
            use super::*;

            // For most of them, `call` is all that is used.
            #[allow(dead_code)]
            pub(crate) const fn is_on() -> bool {
                false
            }

            pub(crate) fn call(_pool: &RawPool<'_>, $(_: $type),*) {}
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
