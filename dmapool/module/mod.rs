// SPDX-License-Identifier: GPL-2.0

//! What only a module needs: references to itself, and a mark by which it knows its pools from
//! those of `mm/dmapool.c`.

pub(crate) mod mark;
mod module_ref;

pub(crate) use module_ref::{
    wait_for_last,
    ModuleRef, //
};
