// SPDX-License-Identifier: GPL-2.0

#[cfg_attr(host, path = "../host/atomic.rs")]
pub mod atomic;

pub mod barrier {
    use super::atomic::Full;

    pub fn smp_mb(_: Full) {
        crate::model::full_barrier();
    }
}
