// SPDX-License-Identifier: GPL-2.0

pub trait KnownSize {}

impl<T> KnownSize for T {}
impl<T> KnownSize for [T] {}
