// SPDX-License-Identifier: GPL-2.0

//! The KUnit suites: one file for each, and what they share.

mod addresses;
mod checked;
mod geometry;
mod interrupt;
mod managed;
mod misplaced;
mod model;
mod out;
mod pool;
mod reserve;
mod revocable;
mod slices;
mod state;
mod support;
mod thread;
mod threads;
mod tokens;

// The last suite: a fault in there can make the kernel give up checking DMA.
#[cfg(CONFIG_FAULT_INJECTION)]
mod faults;
