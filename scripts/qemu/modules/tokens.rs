// SPDX-License-Identifier: GPL-2.0

//! What drivers keep that cannot be lent a pool: a pool in their own data, and beside it a block,
//! as a token.

use kernel::{
    device::{
        Bound,
        Device, //
    },
    io::Io,
    prelude::*, //
};
use rust_dmapool::{
    Geometry,
    Options,
    Pool,
    RawBlock, //
};

/// In the block that is kept.
const STAMP: [u64; 8] = [0x5eed; 8];

/// Blocks that come and go: more than there are in a page.
const BLOCKS: u64 = 100;

pub(crate) struct Tokens<'bound> {
    pool: Pool<'bound, [u64; 8]>,
    kept: RawBlock,
}

impl<'bound> Tokens<'bound> {
    pub(crate) fn new(dev: &'bound Device<Bound>) -> Result<Self> {
        let options = Options::new().tokens();
        let pool = Pool::new_with(dev, c"tokens", Geometry::<[u64; 8]>::of(), options)?;
        let tokens = Self {
            kept: Self::keep(&pool)?,
            pool,
        };

        tokens.come_and_go()?;
        Ok(tokens)
    }

    fn keep(pool: &Pool<'_, [u64; 8]>) -> Result<RawBlock> {
        let block = pool.alloc(GFP_KERNEL)?;

        block.copy_write(STAMP);
        block.into_raw()
    }

    /// Allocates blocks, each of which holds what is written to it, and frees them.
    fn come_and_go(&self) -> Result {
        let mut blocks = KVec::new();

        for number in 0..BLOCKS {
            let block = self.pool.alloc(GFP_KERNEL)?;

            block.copy_write([number; 8]);
            blocks.push(block, GFP_KERNEL)?;
        }
        for (block, number) in blocks.iter().zip(0..) {
            if block.copy_read() != [number; 8] {
                return Err(EIO);
            }
        }
        Ok(())
    }
}

impl Drop for Tokens<'_> {
    fn drop(&mut self) {
        let works = self.come_and_go().is_ok();
        let block = self.pool.from_raw(self.kept);
        let intact = block.is_ok_and(|block| block.copy_read() == STAMP);

        dev_info!(
            self.pool.device(),
            "detached works={works} intact={intact}\n"
        );
    }
}
