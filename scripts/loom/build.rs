// SPDX-License-Identifier: GPL-2.0

//! The kernel configuration that the sources are built with.

fn main() {
    for option in [
        "CONFIG_64BIT",
        "CONFIG_SMP",
        "CONFIG_RUST_DMAPOOL_KUNIT_TEST",
    ] {
        println!("cargo:rustc-cfg={option}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
