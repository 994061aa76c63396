// SPDX-License-Identifier: GPL-2.0

//! A pool as this program keeps it.

#[path = "instance.rs"]
pub(crate) mod instance;
#[path = "../../../dmapool/module/mark.rs"]
pub(crate) mod mark;
