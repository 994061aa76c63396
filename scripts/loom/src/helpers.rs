// SPDX-License-Identifier: GPL-2.0

//! What is in `dmapool/sys/helpers.c`.

use crate::allocator::{
    owner::Owner,
    policy::Parameters,
    word::{
        Word,
        WORD_BITS, //
    }, //
};
use kernel::prelude::*;

/// Nothing is zeroed without being asked to.
#[no_mangle]
extern "C" fn rust_dmapool_want_init_on_alloc() -> bool {
    false
}

#[no_mangle]
extern "C" fn rust_dmapool_want_init_on_free() -> bool {
    false
}

#[no_mangle]
static rust_dmapool_parameters: Parameters = Parameters {
    poison: false,
    track: false,
    redzone: 0,
    quarantine: 0,
};

#[no_mangle]
extern "C" fn rust_dmapool_note_owner(_owner: *mut Owner, _dma: u64, _flags: u32) {}

#[no_mangle]
extern "C" fn rust_dmapool_describe_owner(_: *const Owner, _text: *mut u8, _size: usize) -> usize {
    0
}

#[no_mangle]
extern "C" fn rust_dmapool_print_stack(_stack: u32) {}

#[no_mangle]
extern "C" fn rust_dmapool_init_stacks() {}

/// Models may sleep.
#[no_mangle]
extern "C" fn rust_dmapool_may_sleep() -> bool {
    true
}

#[no_mangle]
extern "C" fn rust_dmapool_mb_after_atomic() {
    kernel::model::mb_after_atomic();
}

/// # Safety
///
/// That of `take_bit()`.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_take_bit(words: *mut Word, bit: usize) -> bool {
    let mask = 1 << (bit as u32 % WORD_BITS);

    // SAFETY: The caller vouches for the word.
    unsafe { &*words.add(bit / WORD_BITS as usize) }.take(mask) & mask != 0
}

#[no_mangle]
extern "C" fn rust_dmapool_may_grow() -> bool {
    true
}

/// Some models free what they must not, and see that it is refused.
#[no_mangle]
extern "C" fn rust_dmapool_report_ratelimit() -> bool {
    false
}

#[no_mangle]
extern "C" fn rust_dmapool_report_unusable(_function: *const c_char, _destroyed: bool) {}

#[no_mangle]
extern "C" fn rust_dmapool_total_memory() -> usize {
    usize::MAX
}

#[no_mangle]
extern "C" fn rust_dmapool_node_online(_node: c_int) -> bool {
    true
}

#[no_mangle]
extern "C" fn rust_dmapool_cpus_online() -> u32 {
    kernel::cpu::nr_cpu_ids()
}
