// SPDX-License-Identifier: GPL-2.0

//! No pool is used by its addresses here: the xarray is the kernel's to prove.

use crate::{
    geometry::Geometry,
    page::Page, //
};
use kernel::{
    alloc::Flags,
    dma::{
        Coherent,
        DmaAddress, //
    },
    prelude::*,
};

pub(crate) struct Index;

impl Index {
    pub(crate) fn new(_geometry: &Geometry) -> Result<Self> {
        Ok(Self)
    }

    pub(crate) unsafe fn insert(
        &self,
        _page: Page<'_>,
        _memory: &Coherent<[u8]>,
        _flags: Flags,
    ) -> Result {
        Ok(())
    }

    pub(crate) fn find(&self, _dma: DmaAddress) -> Option<(Page<'_>, u32)> {
        None
    }
}
