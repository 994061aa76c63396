// SPDX-License-Identifier: GPL-2.0

//! What only a module needs: references to itself, a mark by which it knows its pools from those
//! of `mm/dmapool.c`, and what its interface for C has beyond theirs.

pub(crate) mod mark;
mod module_ref;
mod shrink;

pub(crate) use module_ref::{
    wait_for_last,
    ModuleRef, //
};
