// SPDX-License-Identifier: GPL-2.0

pub mod allocator;
mod kbox;
mod kvec;

pub use allocator::Allocator;
pub use kbox::{
    KBox,
    KVBox, //
};
pub use kvec::{
    KVVec,
    KVec, //
};

use crate::prelude::*;
use core::ops::BitOr;

#[derive(Debug)]
pub struct AllocError;

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        ENOMEM
    }
}

#[derive(Clone, Copy, PartialEq)]
pub struct Flags(u32);

impl Flags {
    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

pub mod flags {
    use super::Flags;
    use crate::bindings::*;

    pub const GFP_KERNEL: Flags =
        Flags(1 << ___GFP_DIRECT_RECLAIM_BIT | 1 << ___GFP_KSWAPD_RECLAIM_BIT);
    pub const GFP_NOWAIT: Flags = Flags(1 << ___GFP_KSWAPD_RECLAIM_BIT);
    pub const __GFP_NOWARN: Flags = Flags(1 << ___GFP_NOWARN_BIT);
    pub const __GFP_ZERO: Flags = Flags(1 << ___GFP_ZERO_BIT);
}

#[derive(Clone, Copy)]
#[allow(dead_code)] // The sources look at it as a number.
pub struct NumaNode(i32);

impl NumaNode {
    pub const NO_NODE: Self = Self(-1);

    pub fn new(node: i32) -> Result<Self> {
        Ok(Self(node))
    }
}
