// SPDX-License-Identifier: GPL-2.0

use core::marker::PhantomData;

pub struct Monotonic;

pub struct Instant<Clock>(std::time::Instant, PhantomData<Clock>);

impl<Clock> Instant<Clock> {
    pub fn now() -> Self {
        Self(std::time::Instant::now(), PhantomData)
    }

    pub fn elapsed(&self) -> Delta {
        Delta(self.0.elapsed())
    }
}

pub struct Delta(core::time::Duration);

impl Delta {
    pub fn as_nanos(&self) -> i64 {
        self.0.as_nanos() as i64
    }
}
