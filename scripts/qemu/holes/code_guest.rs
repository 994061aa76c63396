// SPDX-License-Identifier: GPL-2.0

//! Leaves a function with the driver of its device's parent, which gives devres a value of this
//! module's, and takes it back when it detaches.

use kernel::{
    auxiliary,
    device::Core,
    devres,
    pci,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    types::CovariantForLt, //
};

type Hook = for<'a, 'b> fn(&'a pci::Device<Core<'b>>) -> Result;
type Slot = Arc<Mutex<Option<Hook>>>;

/// What devres drops, by this module's code.
struct Left;

impl Drop for Left {
    fn drop(&mut self) {
        pr_info!("dropped\n");
    }
}

fn leave(pdev: &pci::Device<Core<'_>>) -> Result {
    devres::register(pdev.as_ref(), Left, GFP_KERNEL)
}

struct Guest;

impl Guest {
    fn set(adev: &auxiliary::Device<Core<'_>>, hook: Option<Hook>) -> Result {
        *adev.registration_data::<CovariantForLt!(Slot)>()?.lock() = hook;
        Ok(())
    }
}

kernel::auxiliary_device_table!(
    AUX_TABLE,
    <GuestDriver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"code_host", c"child"), ())]
);

struct GuestDriver;

impl auxiliary::Driver for GuestDriver {
    type IdInfo = ();
    type Data<'bound> = Guest;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &AUX_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Guest::set(adev, Some(leave)).map(|()| Guest)
    }

    fn unbind<'bound>(adev: &'bound auxiliary::Device<Core<'_>>, _this: Pin<&Guest>) {
        let _ = Guest::set(adev, None);
    }
}

kernel::module_auxiliary_driver! {
    type: GuestDriver,
    name: "code_guest",
    authors: ["The rust_dmapool authors"],
    description: "Leaves a function with another driver",
    license: "GPL v2",
}
