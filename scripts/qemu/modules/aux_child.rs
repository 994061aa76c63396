// SPDX-License-Identifier: GPL-2.0

//! A driver for an auxiliary device, with a pool for its parent. The parent has another driver, so
//! the pool is in this one's data.

use kernel::{
    auxiliary,
    device::Core,
    prelude::*, //
};

mod tokens;
use tokens::Tokens;

struct ChildDriver;

kernel::auxiliary_device_table!(
    AUX_TABLE,
    <ChildDriver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"aux_parent", c"child"), ())]
);

impl auxiliary::Driver for ChildDriver {
    type IdInfo = ();
    type Data<'bound> = Tokens<'bound>;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &AUX_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Tokens::new(adev.parent())
    }
}

kernel::module_auxiliary_driver! {
    type: ChildDriver,
    name: "aux_child",
    authors: ["The rust_dmapool authors"],
    description: "A driver with a DMA pool for the parent of its device",
    license: "GPL v2",
}
