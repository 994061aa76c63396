// SPDX-License-Identifier: GPL-2.0

//! An I2C driver with a pool. The I2C core releases what devres has before it drops the driver's
//! data, so the pool is in there.

use kernel::{
    device::{
        Core,
        Device, //
    },
    dma::{
        Device as _,
        DmaMask, //
    },
    i2c,
    prelude::*, //
};

mod tokens;
use tokens::Tokens;

/// A client that does DMA, which is nothing that the kernel crate expects.
struct DmaClient<'a, 'core>(&'a i2c::I2cClient<Core<'core>>);

impl<'core> AsRef<Device<Core<'core>>> for DmaClient<'_, 'core> {
    fn as_ref(&self) -> &Device<Core<'core>> {
        self.0.as_ref()
    }
}

impl<'core> kernel::dma::Device<'core> for DmaClient<'_, 'core> {}

struct ClientDriver;

kernel::i2c_device_table!(
    I2C_TABLE,
    <ClientDriver as i2c::Driver>::IdInfo,
    [(i2c::DeviceId::new(c"i2c_client"), ())]
);

impl i2c::Driver for ClientDriver {
    type IdInfo = ();
    type Data<'bound> = Tokens<'bound>;

    const I2C_ID_TABLE: Option<i2c::IdTable<Self::IdInfo>> = Some(&I2C_TABLE);

    fn probe<'bound>(
        client: &'bound i2c::I2cClient<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Self::tokens(client)
    }
}

impl ClientDriver {
    fn tokens<'bound>(client: &'bound i2c::I2cClient<Core<'_>>) -> Result<Tokens<'bound>> {
        // SAFETY: Nobody allocates DMA memory for this device yet.
        unsafe { DmaClient(client).dma_set_coherent_mask(DmaMask::new::<64>())? };

        Tokens::new(client.as_ref())
    }
}

kernel::module_i2c_driver! {
    type: ClientDriver,
    name: "i2c_client",
    authors: ["The rust_dmapool authors"],
    description: "An I2C driver with a DMA pool",
    license: "GPL v2",
}
