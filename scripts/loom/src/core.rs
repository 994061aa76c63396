// SPDX-License-Identifier: GPL-2.0

// The allocator of `rust_dmapool`, from the sources of the module and not a copy: what each program
// in user space that stands on this `kernel` crate includes.

#[path = "../../../dmapool/allocator/mod.rs"]
mod allocator;
#[path = "../../../dmapool/sys/mod.rs"]
mod sys;
