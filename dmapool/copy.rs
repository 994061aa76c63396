// SPDX-License-Identifier: GPL-2.0

//! Copying a block of bytes as a whole, with an error where the kernel crate would panic.

use crate::block::Block;
use kernel::{
    dma::CoherentIoBackend,
    io::{
        IoBase,
        IoCopyable, //
    },
    prelude::*, //
};

/// A block of bytes as a whole.
///
/// These take the place of the methods of [`kernel::io::Io`] with these names, which panic if the
/// lengths differ. A block has as many bytes as were asked for,
/// [`Geometry::size`](crate::Geometry::size).
impl Block<'_> {
    /// Copies `data` into the block. Any context.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if `data` is not as long as the block, which stays as it is then.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     io::{
    ///         io_project,
    ///         Io, //
    ///     },
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::Block;
    ///
    /// fn write_all(block: &Block<'_>, data: &[u8]) -> Result {
    ///     block.copy_from_slice(data)
    /// }
    ///
    /// /// Into the beginning of the block: a part that is as long as the data.
    /// fn write_first(block: &Block<'_>, data: &[u8]) -> Result {
    ///     io_project!(block, [try: ..data.len()]).copy_from_slice(data);
    ///     Ok(())
    /// }
    /// ```
    #[inline]
    pub fn copy_from_slice(&self, data: &[u8]) -> Result {
        if self.as_ptr().len() != data.len() {
            return Err(EINVAL);
        }
        // SAFETY: `data` is as long as the block, which no reference refers to.
        unsafe { CoherentIoBackend::copy_to_io(self.as_view(), data.as_ptr()) };
        Ok(())
    }

    /// Copies the block into `data`. Any context.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if `data` is not as long as the block, and stays as it is then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(block: &rust_dmapool::Block<'_>) -> Result {
    /// let mut copy = KVec::from_elem(0, block.as_ptr().len(), GFP_KERNEL)?;
    ///
    /// block.copy_to_slice(&mut copy)?;
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn copy_to_slice(&self, data: &mut [u8]) -> Result {
        if self.as_ptr().len() != data.len() {
            return Err(EINVAL);
        }
        // SAFETY: `data` is as long as the block, which no reference refers to.
        unsafe { CoherentIoBackend::copy_from_io(self.as_view(), data.as_mut_ptr()) };
        Ok(())
    }
}
