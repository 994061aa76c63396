// SPDX-License-Identifier: GPL-2.0

//! What a pool says in the log.

use super::{
    c_string::Readable,
    prelude::*, //
};

/// Says that something is wrong with the pool `name` of `dev`. Any context.
#[cold]
#[inline(never)]
pub(crate) fn pool_err(dev: &Device, name: &CStr, what: fmt::Arguments<'_>) {
    dev_err!(dev, "rust_dmapool: pool {}: {what}\n", Readable(name));
}
