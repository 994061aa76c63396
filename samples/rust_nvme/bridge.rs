// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate of 7.3 has no safe way for: all that is unsafe in this driver, but for
//! the slots of commands (`slot.rs`) and what the crate asks of every driver (`rust_nvme.rs`).
//!
//! Each file stands for an abstraction that the crate could have; `Documentation/rust-nvme.rst`
//! has a table of them.

mod device;
mod disk;
mod mapping;
mod request;
mod timeout;

pub(crate) use device::{
    is_present,
    max_mapping_size,
    set_min_align_mask,
    stop_dma, //
};
pub(crate) use disk::{
    Disk,
    Limits, //
};
pub(crate) use mapping::{
    Mapping,
    Ranges,
    Segment, //
};
pub(crate) use request::{
    InFlight,
    Operation,
    RequestFields, //
};
pub(crate) use timeout::{
    Timeout,
    TimeoutTable,
    Verdict, //
};
