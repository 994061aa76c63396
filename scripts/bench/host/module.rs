// SPDX-License-Identifier: GPL-2.0

//! What only a module needs, and this program, too.

#[path = "../../../dmapool/module/mark.rs"]
pub(crate) mod mark;
