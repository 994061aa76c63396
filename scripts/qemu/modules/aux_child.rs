// SPDX-License-Identifier: GPL-2.0

//! A driver for an auxiliary device, with two pools for its parent, which has another driver: one
//! in this one's data, and one that devres of the child has lent, with a block of it.

use kernel::{
    auxiliary,
    device::Core,
    prelude::*, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Options,
    Pool, //
};

mod tokens;
use tokens::Tokens;

struct ChildData<'bound> {
    _tokens: Tokens<'bound>,
    _block: Block<'bound, u64>,
}

impl<'bound> ChildData<'bound> {
    fn new(adev: &'bound auxiliary::Device<Core<'_>>) -> Result<Self> {
        let lent = Pool::new_managed_for_parent(adev, c"lent", Geometry::of(), Options::new())?;

        Ok(Self {
            _tokens: Tokens::new(adev.parent())?,
            _block: lent.lend().zalloc(GFP_KERNEL)?,
        })
    }
}

struct ChildDriver;

kernel::auxiliary_device_table!(
    AUX_TABLE,
    <ChildDriver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"aux_parent", c"child"), ())]
);

impl auxiliary::Driver for ChildDriver {
    type IdInfo = ();
    type Data<'bound> = ChildData<'bound>;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &AUX_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        ChildData::new(adev)
    }
}

kernel::module_auxiliary_driver! {
    type: ChildDriver,
    name: "aux_child",
    authors: ["The rust_dmapool authors"],
    description: "A driver with a DMA pool for the parent of its device",
    license: "GPL v2",
}
