// SPDX-License-Identifier: GPL-2.0

//! A pool as this module keeps it: in its box, listed in debugfs, known by its first word, and with
//! a reference to the module if it may be destroyed late.

pub(crate) mod debugfs;
pub(crate) mod instance;
pub(crate) mod mark;
pub(crate) mod module_ref;
