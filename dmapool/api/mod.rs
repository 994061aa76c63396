// SPDX-License-Identifier: GPL-2.0

//! What drivers use: in Rust, pools and blocks with types; in C, functions that check what they are
//! given.

pub(crate) mod block;
pub(crate) mod c_pool;
mod gate;
pub(crate) mod geometry;
pub(crate) mod managed;
pub(crate) mod payload;
pub(crate) mod pool;
pub(crate) mod revocable;
#[cfg(CONFIG_PCI)]
pub(crate) mod vectors;
