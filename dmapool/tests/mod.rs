// SPDX-License-Identifier: GPL-2.0

//! The KUnit suites: one file for each, and what they share.

mod geometry;
mod managed;
mod model;
mod pool;
mod support;
mod thread;
mod threads;
