// SPDX-License-Identifier: GPL-2.0

use core::{
    marker::PhantomData,
    ops::Deref, //
};

pub struct Bound;
pub struct Normal;

pub struct Device<Context = Normal>(PhantomData<Context>);

impl<Context> Device<Context> {
    pub fn complain(&self, message: &str) {
        panic!("the pool complains: {message}");
    }
}

impl Device<Bound> {
    /// The only device that there is.
    pub const ONLY: &'static Self = &Self(PhantomData);
}

impl Deref for Device<Bound> {
    type Target = Device;

    fn deref(&self) -> &Device {
        &Device(PhantomData)
    }
}
