// SPDX-License-Identifier: GPL-2.0

//! `rust_dmapool` for user space, from the sources of the module and not a copy. The `kernel` crate
//! is that of `scripts/loom`, with the atomic operations of the processor.

// What debugfs would ask for, what only some pools use, and what messages say.
#![allow(dead_code, unused_imports, unused_variables)]

include!("../../loom/src/core.rs");

mod api;
#[path = "../../../dmapool/c_names.rs"]
mod c_names;
#[path = "../../loom/src/helpers.rs"]
mod helpers;
mod instance;
mod module;

pub use allocator::{
    geometry::{
        InvalidGeometry,
        RawGeometry, //
    },
    options::Options,
    statistics::Statistics,
    tokens::RawBlock, //
};
pub use api::{
    block::Block,
    geometry::Geometry,
    payload::{
        Payload,
        State,
        WithState, //
    },
    pool::Pool, //
};
