// SPDX-License-Identifier: GPL-2.0

//! What drivers use, as far as there is no devres in it.

#[path = "../../../dmapool/api/block.rs"]
pub(crate) mod block;
#[path = "../../../dmapool/api/c_pool.rs"]
pub(crate) mod c_pool;
#[path = "../../../dmapool/api/geometry.rs"]
pub(crate) mod geometry;
#[path = "../../../dmapool/api/payload.rs"]
pub(crate) mod payload;
#[path = "../../../dmapool/api/pool.rs"]
pub(crate) mod pool;
