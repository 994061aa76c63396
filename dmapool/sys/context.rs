// SPDX-License-Identifier: GPL-2.0

//! What the caller may do: sleep, which no type can say of those who drop a pool; obtain memory,
//! and how much there is at most; and write to the log once more.

// `dmapool/sys/helpers.c`
extern "C" {
    fn rust_dmapool_may_sleep() -> bool;
    fn rust_dmapool_may_grow() -> bool;
    fn rust_dmapool_report_ratelimit() -> bool;
    fn rust_dmapool_total_memory() -> usize;
}

/// Whether the caller may sleep, as far as the kernel knows: it is not in an interrupt, interrupts
/// are enabled, and, if the kernel counts that, preemption as well.
pub(crate) fn may_sleep() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { rust_dmapool_may_sleep() }
}

/// Whether the caller may obtain memory, if its flags are right. On `PREEMPT_RT` that is impossible
/// in a hard interrupt, and with interrupts or preemption disabled.
pub(crate) fn may_grow() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { rust_dmapool_may_grow() }
}

/// How much memory the system has, in bytes, free or not.
pub(crate) fn total_memory() -> usize {
    // SAFETY: The function has no requirements.
    unsafe { rust_dmapool_total_memory() }
}

/// Whether the log has room for a report that a device, or a driver in C, can cause as often as it
/// likes.
pub(crate) fn report_ratelimit() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { rust_dmapool_report_ratelimit() }
}
