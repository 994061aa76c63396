// SPDX-License-Identifier: GPL-2.0

pub mod atomic;

pub mod barrier {
    use super::atomic::Full;

    pub fn smp_mb(_: Full) {
        crate::model::full_barrier();
    }
}
