// SPDX-License-Identifier: GPL-2.0

//! DMA pools. Each room uses only those before it:
//!
//! | directory | holds |
//! | --- | --- |
//! | `sys/` | what the kernel says of flags, contexts and strings |
//! | `allocator/` | pages, which of their blocks are free, and how one is found |
//! | `module/` | what only a module needs |
//! | `instance/` | a pool as it is kept, and debugfs |
//! | `api/` | what drivers use, in Rust and in C |
//! | `c_names.rs` | the functions of the interface for C, by their names |

pub(crate) mod allocator;
mod api;
mod c_names;
pub(crate) mod instance;
pub(crate) mod module;
mod sys;
#[cfg(CONFIG_RUST_DMAPOOL_KUNIT_TEST)]
mod tests;

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
    managed::{
        DataBeforeDevres,
        Managed, //
    },
    payload::{
        Payload,
        State,
        WithState, //
    },
    pool::Pool,
    revocable::{
        HeldBlock,
        RevocablePool, //
    }, //
};

#[cfg(CONFIG_PCI)]
pub use api::vectors::lend_vectors;
