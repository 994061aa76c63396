// SPDX-License-Identifier: GPL-2.0

//! The pool as its users see it.

use super::super::sys::prelude::*;
use super::{
    super::{
        allocator::{
            geometry::RawGeometry,
            options::Options,
            pool::RawPool,
            state::StateLayout,
            statistics::Statistics,
            tokens::RawBlock, //
        },
        instance::Instance,
        sys::{
            context,
            report::pool_err, //
        },
    },
    block::Block,
    geometry::Geometry,
    payload::Payload, //
};

/// A pool of equal blocks of coherent DMA memory for one device.
///
/// A pool gets memory in pages by `dma_alloc_coherent()` and hands it out in blocks of the size,
/// alignment and boundary that its [`Geometry`] says. It grows when it must, and gives its pages
/// back when it is dropped.
///
/// - `'bound`: how long the device is bound to its driver. The pool cannot outlive it.
/// - `T`: what a block holds, a [`Payload`]; plain bytes if not given.
///
/// All methods take `&self` and may be called by any number of threads at once, and most of them by
/// interrupt handlers as well. There is no lock.
///
/// Making and dropping a pool may sleep, and should not happen while memory is reclaimed. A pool
/// that is dropped in an interrupt handler, or with interrupts or preemption disabled, stays with
/// all its memory, and the log says so.
///
/// Corresponds to C's `struct dma_pool`. For a pool that the device's driver core destroys, see
/// [`Pool::new_managed`].
///
/// # Examples
///
/// ```
/// use kernel::{
///     device::{
///         Bound,
///         Device, //
///     },
///     prelude::*, //
/// };
/// use rust_dmapool::{
///     Geometry,
///     Pool, //
/// };
///
/// fn example(dev: &Device<Bound>) -> Result {
///     let geometry = Geometry::new::<64, 64, 4096>();
///     let pool = Pool::<[u8]>::new(dev, c"commands", geometry)?;
///
///     let block = pool.alloc(GFP_KERNEL)?;
///     assert!(block.dma_address() % 64 == 0);
///     Ok(())
/// }
/// ```
///
/// A pool cannot outlive the binding of its device:
///
/// ```compile_fail
/// use kernel::{
///     device::{
///         Bound,
///         Device, //
///     },
///     prelude::*, //
/// };
/// use rust_dmapool::{
///     Geometry,
///     Pool, //
/// };
///
/// fn outlive(dev: &Device<Bound>) -> Result<Pool<'static>> {
///     Pool::new(dev, c"commands", Geometry::new::<64, 64, 0>())
/// }
/// ```
///
/// # Invariants
///
/// `instance` is in a [`KBox`] that this owns, and the pool's blocks can hold a `T`.
#[repr(transparent)]
pub struct Pool<'bound, T: Payload + ?Sized = [u8]> {
    // Not in this value itself: debugfs knows where it is, and safe code can free the memory of a
    // value without dropping it, even if that is pinned.
    instance: NonNull<Instance<'bound>>,
    owns: PhantomData<Instance<'bound>>,
    // Not of a subtype of `T` either: what is beside a block stays for who allocates it next.
    payload: PhantomData<fn(*mut T) -> *mut T>,
}

// SAFETY: Any thread may use a pool, and drop it.
unsafe impl<T: Payload + ?Sized> Send for Pool<'_, T> {}
// SAFETY: As above.
unsafe impl<T: Payload + ?Sized> Sync for Pool<'_, T> {}

impl<'bound, T: Payload + ?Sized> Pool<'bound, T> {
    /// A pool for `dev` of blocks with `geometry`; `name` is for diagnostics and kept whole.
    ///
    /// Process context; may sleep. No DMA memory is allocated before the first block is, but for a
    /// reserve.
    ///
    /// Corresponds to C's `dma_pool_create()`.
    ///
    /// # Errors
    ///
    /// - [`ENOMEM`]: no memory for the pool's own data.
    /// - [`EINVAL`], and the device's log says which: the device has no mask for coherent DMA, or
    ///   the caller may not sleep.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     device::{
    ///         Bound,
    ///         Device, //
    ///     },
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::{
    ///     Geometry,
    ///     Pool, //
    /// };
    ///
    /// /// A pool as part of something larger.
    /// struct Queue<'bound> {
    ///     pool: Pool<'bound, u64>,
    /// }
    ///
    /// impl<'bound> Queue<'bound> {
    ///     fn new(dev: &'bound Device<Bound>) -> Result<Self> {
    ///         Ok(Self {
    ///             pool: Pool::new(dev, c"queue", Geometry::<u64>::of())?,
    ///         })
    ///     }
    /// }
    /// ```
    ///
    /// A block cannot lie beside its pool, because it would borrow from there. Keep it as a token
    /// ([`Block::into_raw`]), or have the pool managed:
    ///
    /// ```compile_fail,E0505
    /// use kernel::{
    ///     device::{
    ///         Bound,
    ///         Device, //
    ///     },
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::{
    ///     Block,
    ///     Geometry,
    ///     Pool, //
    /// };
    ///
    /// struct Queue<'bound> {
    ///     pool: Pool<'bound, u64>,
    ///     block: Block<'bound, u64>,
    /// }
    ///
    /// impl<'bound> Queue<'bound> {
    ///     fn new(dev: &'bound Device<Bound>) -> Result<Self> {
    ///         let pool = Pool::new(dev, c"queue", Geometry::<u64>::of())?;
    ///         let block = pool.alloc(GFP_KERNEL)?;
    ///
    ///         Ok(Self { pool, block })
    ///     }
    /// }
    /// ```
    pub fn new(dev: &'bound Device<Bound>, name: &CStr, geometry: Geometry<T>) -> Result<Self> {
        Self::new_with(dev, name, geometry, Options::new())
    }

    /// Like [`Pool::new`], with more to it; see [`Options`].
    ///
    /// Process context; may sleep. Corresponds to C's `dma_pool_create_node()`.
    ///
    /// # Errors
    ///
    /// As [`Pool::new`]; also [`ENOMEM`] if the reserve cannot be filled, and [`EINVAL`] if it is
    /// too large or there is no such node.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     alloc::NumaNode,
    ///     device::{
    ///         Bound,
    ///         Device, //
    ///     },
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::{
    ///     Geometry,
    ///     Options,
    ///     Pool, //
    /// };
    ///
    /// fn example(dev: &Device<Bound>) -> Result<Pool<'_>> {
    ///     let geometry = Geometry::new::<256, 256, 0>();
    ///     let options = Options::new().node(NumaNode::new(0)?);
    ///
    ///     Pool::new_with(dev, c"node 0", geometry, options)
    /// }
    /// ```
    pub fn new_with(
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: Geometry<T>,
        options: Options,
    ) -> Result<Self> {
        if !context::may_sleep() {
            pool_err(dev, name, fmt!("not made where nothing may sleep"));
            return Err(EINVAL);
        }
        if !has_mask(dev) {
            pool_err(dev, name, fmt!("the device has no mask for coherent DMA"));
            return Err(EINVAL);
        }
        let options = Options {
            state: StateLayout::of::<T::State>(),
            ..options
        };
        // SAFETY: Only dropping the box frees the pool.
        let instance = unsafe { Instance::new((), dev, name, *geometry, options)? };

        // INVARIANT: This is a box, that is never null. By the invariants of `Geometry` `T` fits.
        Ok(Self {
            instance: NonNull::new(KBox::into_raw(instance)).ok_or(ENOMEM)?,
            owns: PhantomData,
            payload: PhantomData,
        })
    }

    pub(crate) fn instance(&self) -> &Instance<'bound> {
        // SAFETY: By the type invariants it is there as long as this.
        unsafe { self.instance.as_ref() }
    }

    #[inline]
    fn raw(&self) -> &RawPool<'bound> {
        // SAFETY: By the type invariants it is there as long as this.
        unsafe { &self.instance.as_ref().raw }
    }

    /// Allocates a block. Its contents are unspecified, unless `flags` contain `__GFP_ZERO` or the
    /// kernel runs with `init_on_alloc=1`.
    ///
    /// Any context that `flags` allow, down to a hard interrupt with [`GFP_ATOMIC`]. If `flags`
    /// allow it this may sleep, also when a block is free: to give this CPU a page of its own.
    /// Takes a few steps if the slab of this CPU has a free block; else a search, in which each
    /// step covers up to 64 slabs, and as many steps as there are slabs before it fails.
    ///
    /// With `CONFIG_PREEMPT_RT` the system has no memory for callers that cannot be preempted.
    /// There the pool does not grow; free blocks and those of a reserve are allocated as elsewhere.
    ///
    /// Corresponds to C's `dma_pool_alloc()`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if all blocks are allocated, or are just being given back to the system by
    /// [`Pool::shrink`], and the system has no memory for a page, or none of the alignment and
    /// boundary that were asked for ([`Geometry::check`]): the log says that, once for each pool.
    /// The pool is as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     irq::IrqReturn,
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::Pool;
    ///
    /// fn handle_interrupt(pool: &Pool<'_>) -> IrqReturn {
    ///     match pool.alloc(GFP_ATOMIC) {
    ///         Ok(_block) => IrqReturn::Handled,
    ///         Err(_) => IrqReturn::None,
    ///     }
    /// }
    /// ```
    #[inline]
    pub fn alloc(&self, flags: Flags) -> Result<Block<'_, T>> {
        let block = self.raw().alloc(flags)?;

        // SAFETY: The block is new and its pool is borrowed. By the type invariants `T` fits.
        Ok(unsafe { Block::new(block) })
    }

    /// Allocates a block and fills it with zeroes.
    ///
    /// Context as [`Pool::alloc`]. Corresponds to C's `dma_pool_zalloc()`.
    ///
    /// # Errors
    ///
    /// As [`Pool::alloc`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     io::io_read,
    ///     prelude::*, //
    /// };
    ///
    /// # fn example(pool: &rust_dmapool::Pool<'_, [u32; 4]>) -> Result {
    /// let block = pool.zalloc(GFP_KERNEL)?;
    ///
    /// assert!(io_read!(block, [build: 3]) == 0);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn zalloc(&self, flags: Flags) -> Result<Block<'_, T>> {
        self.alloc(flags | __GFP_ZERO)
    }

    /// Allocates a block for each element of `blocks`, all or none.
    ///
    /// Blocks that the elements held are freed first; [`Pool::fill_empty`] leaves them. Context,
    /// and cost for each block, as [`Pool::alloc`].
    ///
    /// # Errors
    ///
    /// As [`Pool::alloc`]; all elements are `None` then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::Pool<'_>) -> Result {
    /// let mut ring = [const { None }; 64];
    ///
    /// pool.alloc_bulk(&mut ring, GFP_KERNEL)?;
    /// for block in ring.iter().flatten() {
    ///     pr_info!("{:#x}\n", block.dma_address());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn alloc_bulk<'pool>(
        &'pool self,
        blocks: &mut [Option<Block<'pool, T>>],
        flags: Flags,
    ) -> Result {
        blocks.fill_with(|| None);
        if self.fill_empty(&mut *blocks, flags) < blocks.len() {
            blocks.fill_with(|| None);
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Allocates a block for each of `places` that is `None`, as far as there are blocks, from the
    /// first one on. Returns how many that were.
    ///
    /// For rings: what the device still has stays where it is. A ring whose empty places begin in
    /// its middle passes them in its own order, so that none is left out before others when there
    /// are too few blocks. Context, and cost for each block, as [`Pool::alloc`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::prelude::*;
    /// use rust_dmapool::{
    ///     Block,
    ///     Pool, //
    /// };
    ///
    /// /// After the device has consumed some: frees these, and has others in their place.
    /// fn refill<'pool>(
    ///     pool: &'pool Pool<'_>,
    ///     ring: &mut [Option<Block<'pool>>],
    ///     is_consumed: impl Fn(&Block<'_>) -> bool,
    /// ) {
    ///     for place in ring.iter_mut() {
    ///         *place = place.take().filter(|block| !is_consumed(block));
    ///     }
    ///     let filled = pool.fill_empty(&mut *ring, GFP_ATOMIC);
    ///     let missing = ring.iter().filter(|place| place.is_none()).count();
    ///
    ///     pr_info!("{filled} places filled, {missing} are left for the next time\n");
    /// }
    ///
    /// /// From the place on to which the device is told of next.
    /// fn refill_from<'pool>(
    ///     pool: &'pool Pool<'_>,
    ///     ring: &mut [Option<Block<'pool>>],
    ///     tail: usize,
    /// ) -> Result<usize> {
    ///     let (wrapped, first) = ring.split_at_mut_checked(tail).ok_or(EINVAL)?;
    ///
    ///     Ok(pool.fill_empty(Iterator::chain(first.iter_mut(), wrapped), GFP_ATOMIC))
    /// }
    /// ```
    pub fn fill_empty<'a, 'pool: 'a>(
        &'pool self,
        places: impl IntoIterator<Item = &'a mut Option<Block<'pool, T>>>,
        flags: Flags,
    ) -> usize
    where
        T: 'a,
    {
        places
            .into_iter()
            .filter(|place| place.is_none())
            .map_while(|place| self.alloc(flags).map(|block| *place = Some(block)).ok())
            .fold(0, |filled, ()| filled.wrapping_add(1))
    }

    /// Grows the pool until it has `count` free blocks, so that it need not grow soon.
    ///
    /// For a moment, not for good: somebody else may allocate them, or [`Pool::shrink`] give them
    /// back. For blocks that are kept see [`Options::min_nr`].
    ///
    /// Any context that `flags` allow, but in time proportional to the number of pages.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if there is not enough memory: nobody is killed for it, and what the system
    /// cannot have at all is not tried. Pages that were added until then stay.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::Pool<'_>) -> Result {
    /// // A queue of 256 commands is about to be started.
    /// pool.prefill(256, GFP_KERNEL)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn prefill(&self, count: usize, flags: Flags) -> Result {
        self.raw().prefill(count, flags)
    }

    /// Gives pages in which no block is allocated back to the system, and returns how many. Those
    /// of the reserve stay, and all of a pool with [`Options::addresses`].
    ///
    /// Process context with interrupts enabled; may sleep. Elsewhere it does nothing, and the log
    /// says so. Others may allocate and free meanwhile.
    /// C's pools never give anything back before they are destroyed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::Pool<'_>) {
    /// dev_info!(pool.device(), "{} pages given back\n", pool.shrink());
    /// # }
    /// ```
    pub fn shrink(&self) -> usize {
        self.raw().shrink()
    }

    /// Takes back the ownership that [`Block::into_raw`] gave up, once for each time.
    ///
    /// Any context. In O(1), by one atomic operation.
    ///
    /// Nothing about this is unsafe: whatever tokens come in, no block gets a second owner. What a
    /// token cannot show is that the device means it: one that is told two tokens can exchange
    /// them, and one that completes a command too early can go on writing to its block.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if no block of this pool is out under this token: it was invented, was turned
    /// back already, or is of another pool. A token that was turned back is not good again before
    /// the same block has gone out 2^31 times more. To invent one is to guess one of 2^31 numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::Pool<'_>) -> Result {
    /// let raw = pool.alloc(GFP_KERNEL)?.into_raw()?;
    ///
    /// drop(pool.from_raw(raw)?);
    /// assert!(pool.from_raw(raw).is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[allow(clippy::wrong_self_convention)] // Named after the other half, `Block::into_raw`.
    pub fn from_raw(&self, raw: RawBlock) -> Result<Block<'_, T>>
    where
        T: Send,
    {
        let block = self.raw().take_back(raw).ok_or(EINVAL)?;

        // SAFETY: The block is the caller's, and its pool is borrowed. By the type invariants `T`
        // fits.
        Ok(unsafe { Block::new(block) })
    }

    /// Takes back the ownership that [`Block::into_address`] gave up, once for each time: the block
    /// that begins at DMA address `dma` and is out.
    ///
    /// Any context. In O(1), by one look into a table of pages and one atomic operation.
    ///
    /// Nothing about this is unsafe, as with [`Pool::from_raw`]. But there is nothing to guess
    /// about an address: a device that names a block too early, or twice when the block is out
    /// once more, is believed. A token tells that.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if no block that is out begins there: the address is not of this pool, not that
    /// of a block's first byte, or that of a block which is free, or which somebody owns.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::Pool<'_>) -> Result {
    /// let address = pool.alloc(GFP_KERNEL)?.into_address()?;
    ///
    /// assert!(pool.from_address(address + 1).is_err());
    /// drop(pool.from_address(address)?);
    /// assert!(pool.from_address(address).is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[allow(clippy::wrong_self_convention)] // As above.
    pub fn from_address(&self, dma: DmaAddress) -> Result<Block<'_, T>>
    where
        T: Send,
    {
        let block = self.raw().take_back_at(dma).ok_or(EINVAL)?;

        // SAFETY: As in `from_raw`.
        Ok(unsafe { Block::new(block) })
    }

    /// The geometry of the pool's blocks. Any context.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(pool: &rust_dmapool::Pool<'_>) -> usize {
    /// pool.geometry().size()
    /// # }
    /// ```
    #[inline]
    pub fn geometry(&self) -> &RawGeometry {
        self.raw().geometry()
    }

    /// The device that the pool's memory is mapped for. Any context.
    ///
    /// It is not known to be bound: a [`RevocablePool`] is there until devres
    /// comes to it, which begins with what was made after it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::Pool<'_>) {
    /// dev_info!(pool.device(), "has a pool\n");
    /// # }
    /// ```
    pub fn device(&self) -> &'bound Device {
        self.raw().dev
    }

    /// The name that the pool was given. Any context.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::Pool<'_>) {
    /// dev_info!(pool.device(), "has the pool {}\n", pool.name());
    /// # }
    /// ```
    pub fn name(&self) -> &CStr {
        &self.raw().name
    }

    /// Counts what the pool holds: a snapshot that need not be consistent while others allocate.
    ///
    /// Any context, but in time proportional to the number of pages.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(pool: &rust_dmapool::Pool<'_>) -> bool {
    /// pool.statistics().live == 0
    /// # }
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.raw().statistics()
    }
}

impl<T: Payload + ?Sized> Drop for Pool<'_, T> {
    fn drop(&mut self) {
        // DMA memory is given back and debugfs is changed, and both may sleep.
        if context::may_sleep() {
            // SAFETY: By the type invariants, and nobody borrows from the pool any more.
            drop(unsafe { KBox::from_raw(self.instance.as_ptr()) });
        } else {
            self.raw()
                .err(fmt!("kept, because it was dropped where nothing may sleep"));
        }
    }
}

/// Whether somebody has said which memory the device can reach. `dma_alloc_coherent()` warns if
/// not.
fn has_mask(dev: &Device<Bound>) -> bool {
    // SAFETY: The device is there, and drivers set its mask before they allocate.
    unsafe { (*as_raw(dev)).coherent_dma_mask != 0 }
}
