// SPDX-License-Identifier: GPL-2.0

use crate::model;

pub struct CpuId(u32);

impl CpuId {
    pub fn current() -> Self {
        Self(model::this_cpu())
    }

    pub fn as_u32(&self) -> u32 {
        self.0
    }
}

pub fn nr_cpu_ids() -> u32 {
    model::cpus()
}
