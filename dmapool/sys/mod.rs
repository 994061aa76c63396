// SPDX-License-Identifier: GPL-2.0

//! The kernel, as far as its Rust abstractions leave something to say: what flags mean, what a
//! caller may do, strings of C, what is said in the log. It uses nothing else of this crate.

pub(crate) mod c_string;
pub(crate) mod context;
pub(crate) mod gfp;
pub(crate) mod prelude;
pub(crate) mod report;
