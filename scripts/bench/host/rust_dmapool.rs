// SPDX-License-Identifier: GPL-2.0

//! `rust_dmapool` for user space, from the sources of the module and not a copy. The `kernel` crate
//! is that of `scripts/loom`, with the atomic operations of the processor.

// What debugfs would ask for, and what only some pools use.
#![allow(dead_code, unused_variables)]

include!("../../loom/src/core.rs");

#[path = "../../../dmapool/c_pool.rs"]
mod c_pool;
#[path = "../../../dmapool/c_string.rs"]
mod c_string;
#[path = "../../../dmapool/mark.rs"]
mod mark;
#[path = "../../../dmapool/pool.rs"]
mod pool;

#[path = "../../loom/src/helpers.rs"]
mod helpers;
mod instance;
#[path = "../../loom/src/refill_work.rs"]
mod refill_work;

pub use block::Block;
pub use geometry::{
    Geometry,
    InvalidGeometry, //
};
pub use options::Options;
pub use payload::Payload;
pub use pool::Pool;
pub use statistics::Statistics;
pub use tokens::RawBlock;
