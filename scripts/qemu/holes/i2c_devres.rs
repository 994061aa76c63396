// SPDX-License-Identifier: GPL-2.0

//! I2C releases devres before it drops the driver's data, for which the device is bound still.

use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    devres::Devres,
    i2c,
    prelude::*, //
};

struct Data<'bound> {
    dev: &'bound Device<Bound>,
    number: Devres<KBox<u32>>,
}

impl<'bound> Data<'bound> {
    fn new(dev: &'bound Device<Bound>) -> Result<Self> {
        Ok(Self {
            dev,
            number: Devres::new(dev, KBox::new(0x600d, GFP_KERNEL)?)?,
        })
    }

    fn look(&self, when: &str) -> Result {
        let number = self.number.access(self.dev)?;

        dev_info!(self.dev, "{when}: {:#x}\n", **number);
        Ok(())
    }
}

impl Drop for Data<'_> {
    fn drop(&mut self) {
        let _ = self.look("drop");
    }
}

struct DevresDriver;

kernel::i2c_device_table!(
    I2C_TABLE,
    <DevresDriver as i2c::Driver>::IdInfo,
    [(i2c::DeviceId::new(c"i2c_devres"), ())]
);

impl i2c::Driver for DevresDriver {
    type IdInfo = ();
    type Data<'bound> = Data<'bound>;

    const I2C_ID_TABLE: Option<i2c::IdTable<Self::IdInfo>> = Some(&I2C_TABLE);

    fn probe<'bound>(
        client: &'bound i2c::I2cClient<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Data::new(client.as_ref())
    }

    fn unbind<'bound>(_client: &'bound i2c::I2cClient<Core<'_>>, this: Pin<&Data<'bound>>) {
        let _ = this.look("unbind");
    }
}

kernel::module_i2c_driver! {
    type: DevresDriver,
    name: "i2c_devres",
    authors: ["The rust_dmapool authors"],
    description: "Driver data that is dropped after devres was released",
    license: "GPL v2",
}
