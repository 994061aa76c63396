// SPDX-License-Identifier: GPL-2.0

//! A debugfs scope that is forgotten goes on to show what its data borrowed.

use kernel::{
    debugfs::Scope,
    prelude::*, //
};

fn forget(number: &u32) -> Result {
    let scope = KBox::pin_init(
        Scope::dir(number, c"debugfs_forget", |number, dir| {
            dir.read_only_file(c"number", *number);
        }),
        GFP_KERNEL,
    )?;

    core::mem::forget(scope);
    Ok(())
}

struct ForgetModule;

impl kernel::Module for ForgetModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let number = KBox::new(0x600d, GFP_KERNEL)?;

        forget(&number)?;
        drop(number);
        Ok(Self)
    }
}

module! {
    type: ForgetModule,
    name: "debugfs_forget",
    authors: ["The rust_dmapool authors"],
    description: "A debugfs file that outlives what it shows",
    license: "GPL v2",
}
