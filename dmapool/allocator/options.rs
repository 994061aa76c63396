// SPDX-License-Identifier: GPL-2.0

//! What a pool can be given beyond its geometry.

use super::super::sys::prelude::*;
use super::{
    super::sys::report::pool_err,
    state::StateLayout, //
};

// `dmapool/sys/helpers.c`
extern "C" {
    fn rust_dmapool_node_online(node: c_int) -> bool;
}

// `NumaNode` is a number and nothing else, but does not say so.
static_assert!(size_of::<NumaNode>() == size_of::<c_int>());

/// What a pool can be given beyond its geometry; for [`Pool::new_with`] and
/// [`Pool::new_managed_with`].
///
/// # Examples
///
/// ```
/// use rust_dmapool::Options;
///
/// // Sixteen blocks for interrupt handlers, whatever happens, and tokens for the hardware.
/// let options = Options::new().min_nr(16).tokens();
/// # let _ = options;
/// ```
#[derive(Clone, Copy)]
pub struct Options {
    pub(crate) node: NumaNode,
    pub(crate) tokens: bool,
    pub(crate) addresses: bool,
    pub(crate) min_nr: usize,
    /// What stands beside each block.
    pub(crate) state: StateLayout,
    /// Whether blocks are freed by their addresses, which are checked. For pools of C.
    pub(crate) checked_frees: bool,
    /// Whether blocks that are allocated when the pool ends, end with it.
    pub(crate) ends_blocks: bool,
    /// Whether the pool keeps the module from being unloaded. For pools that may be destroyed when
    /// there is no user of the module left.
    pub(crate) holds_module: bool,
}

impl Options {
    /// The most blocks that a reserve can have: whoever takes one looks at each of its slabs.
    pub const MOST_RESERVED: usize = 4096;

    /// A pool on any NUMA node, without tokens and without a reserve.
    ///
    /// # Examples
    ///
    /// See [`Options`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            node: NumaNode::NO_NODE,
            tokens: false,
            addresses: false,
            min_nr: 0,
            state: StateLayout::of::<()>(),
            checked_frees: false,
            ends_blocks: false,
            holds_module: false,
        }
    }

    /// Allocates what the pool knows of its pages on NUMA node `node`.
    ///
    /// The DMA memory itself is wherever `dma_alloc_coherent()` takes it for the device, as in C.
    /// Corresponds to the `node` argument of C's `dma_pool_create_node()`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// use kernel::alloc::NumaNode;
    /// use rust_dmapool::Options;
    ///
    /// # fn example() -> Result<Options> {
    /// Ok(Options::new().node(NumaNode::new(0)?))
    /// # }
    /// ```
    #[must_use]
    pub const fn node(mut self, node: NumaNode) -> Self {
        self.node = node;
        self
    }

    /// Lets blocks be turned into tokens by [`Block::into_raw`].
    ///
    /// It costs four bytes of ordinary memory for each block that the pool has room for.
    ///
    /// # Examples
    ///
    /// See [`Block::into_raw`].
    #[must_use]
    pub const fn tokens(mut self) -> Self {
        self.tokens = true;
        self
    }

    /// Lets blocks be found by their DMA addresses: see
    /// [`Block::into_address`].
    ///
    /// It costs four bytes of ordinary memory for each block that the pool has room for, and what
    /// `Documentation/design.rst` says for each page. [`Pool::shrink`] gives
    /// nothing back, because who looks for an address may be looking at any page.
    ///
    /// # Examples
    ///
    /// See [`Block::into_address`].
    #[must_use]
    pub const fn addresses(mut self) -> Self {
        self.addresses = true;
        self
    }

    /// Keeps `min_nr` blocks back for allocations that may not wait, such as those with
    /// [`GFP_ATOMIC`].
    ///
    /// The reserve consists of pages of its own, at least one, so it can have more blocks than
    /// that. They are allocated when the pool is made, which fails if there is no memory for them.
    /// Only allocations that may not wait take from it, when no other block of the pool is free and
    /// before the pool is grown; a block that was taken comes back to it when it is freed. It is
    /// not refilled otherwise, so [`Statistics::reserved`] of these
    /// allocations succeed, whatever the state of the system's memory.
    ///
    /// The name is that of C's `mempool_create()`. Different from a `mempool_t`, allocations that
    /// may wait never touch the reserve: they grow the pool, and can fail.
    ///
    /// `min_nr` is at most [`Options::MOST_RESERVED`]; making the pool fails with [`EINVAL`] if it
    /// is more.
    ///
    /// # Examples
    ///
    /// See [`Managed`].
    #[must_use]
    pub const fn min_nr(mut self, min_nr: usize) -> Self {
        self.min_nr = min_nr;
        self
    }

    /// Whether the pool `name` for `dev` can have these. Says why not.
    pub(crate) fn check(&self, dev: &Device, name: &CStr) -> Result {
        // SAFETY: Of the same size, and without padding or invalid values.
        let node = unsafe { core::mem::transmute::<NumaNode, c_int>(self.node) };

        // SAFETY: The function has no requirements.
        if !unsafe { rust_dmapool_node_online(node) } {
            pool_err(dev, name, fmt!("there is no NUMA node {node}"));
            return Err(EINVAL);
        }
        if self.min_nr > Self::MOST_RESERVED {
            let (min_nr, most) = (self.min_nr, Self::MOST_RESERVED);

            pool_err(
                dev,
                name,
                fmt!("a reserve of {min_nr} blocks is more than {most}"),
            );
            return Err(EINVAL);
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
