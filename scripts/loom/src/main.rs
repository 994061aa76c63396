// SPDX-License-Identifier: GPL-2.0

//! The core of `rust_dmapool`, from the sources of the module and not a copy, for loom to run in
//! every interleaving that the memory model allows. The `kernel` crate beside this is a small one
//! that stands in for the real one.

// What the public face uses, and what messages say.
#![allow(dead_code, unused_variables)]

include!("core.rs");

mod helpers;
mod models;
mod run;

pub use allocator::{
    geometry::RawGeometry,
    options::Options, //
};

use models::MODELS;
use std::{
    panic,
    process::exit,
    sync::atomic::{
        AtomicUsize,
        Ordering, //
    },
    thread, //
};

fn main() {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let arguments = names.len();
    names.retain(|name| name != "--fail-fast");
    let fail_fast = names.len() < arguments;

    let models: Vec<_> = MODELS
        .iter()
        .filter(|model| names.is_empty() || names.iter().any(|name| name == model.name))
        .collect();
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);

    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(model) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if panic::catch_unwind(|| model.check()).is_err() {
                        println!("{}: failed", model.name);
                        failed.fetch_add(1, Ordering::Relaxed);
                        if fail_fast {
                            exit(1);
                        }
                    }
                }
            });
        }
    });

    let failed = failed.into_inner();
    println!("cases: {} passed, {failed} failed", models.len() - failed);
    exit(i32::from(failed != 0 || models.is_empty()));
}
