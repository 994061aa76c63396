// SPDX-License-Identifier: GPL-2.0

//! A disk that is forgotten goes on to serve requests with what its data borrowed.

use core::marker::PhantomData;
use kernel::{
    block::mq::{
        gen_disk::GenDiskBuilder,
        Operations,
        Request,
        TagSet, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

struct Disk<'a>(PhantomData<&'a u32>);

#[vtable]
impl<'a> Operations for Disk<'a> {
    type QueueData = KBox<&'a u32>;

    fn queue_rq(number: &&'a u32, rq: ARef<Request<Self>>, _is_last: bool) -> Result {
        pr_info!("request: {:#x}\n", **number);
        Request::end_ok(rq).map_err(|_| EIO)
    }

    fn commit_rqs(_number: &&'a u32) {}

    fn complete(_rq: ARef<Request<Self>>) {}
}

fn forget(number: &u32) -> Result {
    let tags = Arc::pin_init(TagSet::<Disk<'_>>::new(1, 1, 1), GFP_KERNEL)?;
    let disk = GenDiskBuilder::new().capacity_sectors(8).build(
        fmt!("forgotten"),
        tags,
        KBox::new(number, GFP_KERNEL)?,
    )?;

    core::mem::forget(disk);
    Ok(())
}

struct ForgetModule;

impl kernel::Module for ForgetModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let number = KBox::new(0x600d, GFP_KERNEL)?;

        forget(&number)?;
        drop(number);
        pr_info!("the number is gone\n");
        Ok(Self)
    }
}

module! {
    type: ForgetModule,
    name: "disk_forget",
    authors: ["The rust_dmapool authors"],
    description: "A disk that outlives what its data borrows",
    license: "GPL v2",
}
