// SPDX-License-Identifier: GPL-2.0

//! The owner of a block: one piece of DMA memory, its two addresses, and the duty to free it.

use super::super::sys::prelude::*;
use super::{
    super::allocator::{
        free::Allocated,
        pool::RawPool,
        tokens::RawBlock, //
    },
    payload::Payload, //
};
use kernel::{
    dma::{
        CoherentIoBackend,
        CoherentView, //
    },
    io::{
        IoBackend,
        IoBase,
        IoCopyable, //
    }, //
};

/// A block of coherent DMA memory, allocated from a [`Pool`].
///
/// It holds one `T`, or, if that is a slice, as many elements as the bytes that were asked for
/// ([`size()`](RawGeometry::size)) have room for, at the address that the device sees
/// ([`Block::dma_address`]) and that the CPU sees ([`Block::as_ptr`]). Fields are read and written
/// with the kernel's `io_read!`, `io_write!` and `io_project!`: each access is volatile, so it is
/// well-defined while the device writes too. For all of it there are `copy_read()` and
/// `copy_write()` of [`kernel::io::Io`], and for slices [`Block::copy_from_slice`] and
/// [`Block::copy_to_slice`].
///
/// No size, index or length that a block is given makes it panic, with two exceptions, both of the
/// kernel crate: an index by which a caller asks for that, as in `io_read!(block, [panic: 100])`,
/// where `[try: 100]` is an error; and `copy_from_slice()` and `copy_to_slice()` of `Io` on a part
/// of a block, as `io_project!` returns it, or on a block by way of the trait, which assert that
/// both lengths are equal.
///
/// Dropping the block frees it: in a few steps however many blocks there are, without a lock, in
/// any context including hard interrupts, never sleeping. If freed blocks are zeroed or poisoned,
/// that takes its time for each byte. Whoever drops a block must have made sure that the device
/// does not use it any more, as with C's `dma_pool_free()`. A block cannot outlive its pool, be
/// freed twice, or be freed into another pool.
///
/// Corresponds to what C's `dma_pool_alloc()` returns.
///
/// # Invariants
///
/// Nobody else owns the block, its pool lives for `'pool`, and its memory holds a `T` at its
/// beginning.
///
/// # Examples
///
/// ```
/// use kernel::{
///     io::{
///         io_read,
///         io_write, //
///     },
///     prelude::*, //
/// };
/// use rust_dmapool::Pool;
///
/// #[repr(C)]
/// #[derive(FromBytes, IntoBytes)]
/// struct Descriptor {
///     address: u64,
///     len: u32,
///     flags: u32,
/// }
///
/// fn example(pool: &Pool<'_, Descriptor>, buffer: u64) -> Result {
///     let descriptor = pool.zalloc(GFP_KERNEL)?;
///
///     io_write!(descriptor, .address, buffer);
///     io_write!(descriptor, .len, 512);
///     // Tell the device about `descriptor.dma_address()` here.
///     let flags = io_read!(descriptor, .flags);
///     pr_info!("flags {flags:#x}\n");
///     Ok(())
/// }
/// ```
///
/// A block cannot outlive its pool:
///
/// ```compile_fail,E0515
/// use kernel::prelude::*;
/// use rust_dmapool::{
///     Block,
///     Pool, //
/// };
///
/// fn outlive<'a>(pool: Pool<'a>) -> Result<Block<'a>> {
///     pool.alloc(GFP_KERNEL)
/// }
/// ```
///
/// It is freed where it came from. There is no way to free it into another pool, or twice:
///
/// ```compile_fail,E0599
/// use rust_dmapool::{
///     Block,
///     Pool, //
/// };
///
/// fn free_elsewhere(other: &Pool<'_>, block: Block<'_>) {
///     other.free(block);
/// }
/// ```
///
/// ```compile_fail,E0382
/// use rust_dmapool::Block;
///
/// fn free_twice(block: Block<'_>) {
///     drop(block);
///     drop(block);
/// }
/// ```
///
/// It may go to another thread if its payload may:
///
/// ```compile_fail,E0277
/// use core::marker::PhantomData;
/// use kernel::prelude::*;
/// use rust_dmapool::Block;
///
/// #[repr(C)]
/// #[derive(FromBytes, IntoBytes)]
/// struct OfOneThread {
///     number: u64,
///     of: PhantomData<*mut ()>,
/// }
///
/// fn send<T: Send>(_what: T) {}
///
/// fn send_block(block: Block<'_, OfOneThread>) {
///     send(block);
/// }
/// ```
pub struct Block<'pool, T: Payload + ?Sized = [u8]> {
    block: Allocated<'pool>,
    payload: PhantomData<*mut T>,
}

// Two words: a block derives its addresses.
static_assert!(size_of::<Option<Block<'_>>>() == 16);

// SAFETY: A block is the only owner of its payload and may be freed by any thread.
unsafe impl<T: Payload + Send + ?Sized> Send for Block<'_, T> {}

// SAFETY: Through a shared reference a payload is only accessed as through `&Coherent<T>`.
unsafe impl<T: Payload + Sync + ?Sized> Sync for Block<'_, T> {}

impl<'pool, T: Payload + ?Sized> Block<'pool, T> {
    /// # Safety
    ///
    /// `block` must not be used elsewhere, `'pool` must be the lifetime of its pool, and
    /// [`Payload::fits`] must hold for `T` and the pool's geometry.
    #[inline]
    pub(crate) unsafe fn new(block: Allocated<'pool>) -> Self {
        // INVARIANT: The block is allocated, and the caller vouches for the rest.
        Self {
            block,
            payload: PhantomData,
        }
    }

    /// In bytes.
    #[inline]
    fn size(&self) -> usize {
        RawPool::of(self.block.slab).geometry().size()
    }

    /// The address to give to the device: a bus address, in bytes.
    ///
    /// Any context. Corresponds to the `handle` of C's `dma_pool_alloc()`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::Pool<'_>) -> Result {
    /// let block = pool.alloc(GFP_KERNEL)?;
    ///
    /// pr_info!("the device finds it at {:#x}\n", block.dma_address());
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn dma_address(&self) -> DmaAddress {
        self.block.dma_address()
    }

    /// The address at which the CPU sees the block. Any context.
    ///
    /// The pointer is valid for volatile access as long as the block lives. There is no need for
    /// it where `io_read!` and its kin do.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::Pool<'_>) -> Result {
    /// let block = pool.alloc(GFP_KERNEL)?;
    ///
    /// // SAFETY: The block has at least one byte, and lives.
    /// let first = unsafe { block.as_ptr().cast::<u8>().read_volatile() };
    /// # let _ = first;
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn as_ptr(&self) -> *mut T::Contents {
        T::in_block(self.block.as_ptr(), self.size())
    }

    /// Gives up ownership, so that it can travel where a `Block` cannot: through the cookie of a
    /// hardware descriptor, into C code, or into the data of a driver beside the pool itself.
    ///
    /// The block stays allocated until [`Pool::from_raw`] makes a `Block`
    /// of it again, which it does once, however often the token comes back. Any context; one store.
    ///
    /// Corresponds to keeping the pair of addresses in C.
    ///
    /// # Errors
    ///
    /// The block is freed then.
    ///
    /// - [`EINVAL`]: the pool was not made with [`Options::tokens`].
    /// - [`EOVERFLOW`]: there are 2^32 blocks before this one, more than a token can tell apart.
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
    ///     Options,
    ///     Pool,
    ///     RawBlock, //
    /// };
    ///
    /// fn new_pool(dev: &Device<Bound>) -> Result<Pool<'_>> {
    ///     let geometry = Geometry::new::<64, 64, 0>();
    ///
    ///     Pool::new_with(dev, c"commands", geometry, Options::new().tokens())
    /// }
    ///
    /// fn submit(pool: &Pool<'_>) -> Result<u64> {
    ///     let block = pool.alloc(GFP_ATOMIC)?;
    ///
    ///     // Goes into the descriptor, and comes back in the completion.
    ///     Ok(block.into_raw()?.into_bits())
    /// }
    ///
    /// fn complete(pool: &Pool<'_>, cookie: u64) -> Result {
    ///     // An error if the device makes one up, or completes the command twice.
    ///     let block = pool.from_raw(RawBlock::from_bits(cookie))?;
    ///
    ///     drop(block);
    ///     Ok(())
    /// }
    /// ```
    pub fn into_raw(self) -> Result<RawBlock>
    where
        T: Send,
    {
        let pool = RawPool::of(self.block.slab);
        // SAFETY: `self` owns the block, and is forgotten if it is let out.
        let raw = unsafe { pool.let_out(&self.block)? };

        mem::forget(self);
        Ok(raw)
    }

    /// Gives up ownership, as [`Block::into_raw`] does, for hardware that names what it is done
    /// with by the DMA address.
    ///
    /// The block stays allocated until [`Pool::from_address`] makes a
    /// `Block` of it again, which it does once for each time that it went out. In a pool that has
    /// tokens as well, either brings it back. Any context; one store.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: the pool was not made with [`Options::addresses`].
    /// The block is freed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     device::{
    ///         Bound,
    ///         Device, //
    ///     },
    ///     dma::DmaAddress,
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::{
    ///     Geometry,
    ///     Options,
    ///     Pool, //
    /// };
    ///
    /// fn new_pool(dev: &Device<Bound>) -> Result<Pool<'_>> {
    ///     let geometry = Geometry::new::<64, 64, 0>();
    ///
    ///     Pool::new_with(dev, c"transfers", geometry, Options::new().addresses())
    /// }
    ///
    /// fn submit(pool: &Pool<'_>) -> Result<DmaAddress> {
    ///     // Goes into the queue of the controller, and comes back in its list of what is done.
    ///     pool.alloc(GFP_ATOMIC)?.into_address()
    /// }
    ///
    /// fn complete(pool: &Pool<'_>, done: DmaAddress) -> Result {
    ///     // An error if the controller makes one up, or is done with the same one twice.
    ///     drop(pool.from_address(done)?);
    ///     Ok(())
    /// }
    /// ```
    pub fn into_address(self) -> Result<DmaAddress>
    where
        T: Send,
    {
        let pool = RawPool::of(self.block.slab);
        // SAFETY: As in `into_raw`.
        let address = unsafe { pool.let_out_by_address(&self.block)? };

        mem::forget(self);
        Ok(address)
    }
}

/// What the driver has beside it.
impl<T: Payload + ?Sized> Block<'_, T> {
    fn state_ptr(&self) -> NonNull<T::State> {
        let slab = self.block.slab;
        let layout = &RawPool::of(slab).layout;

        // SAFETY: The slab has the bit of its block, and a pool of `T` such values.
        unsafe { slab.state_of(self.block.place.bit(), layout) }
    }

    /// What the driver has beside the block, in a pool [`WithState`]. Any
    /// context.
    ///
    /// # Examples
    ///
    /// See [`WithState`].
    #[inline]
    pub fn state(&self) -> &T::State {
        // SAFETY: It belongs to the block, is what its `Default` or an owner of the block has left,
        // and is only written to through a mutable reference to the block.
        unsafe { self.state_ptr().as_ref() }
    }

    /// The same, to be changed. Any context.
    ///
    /// # Examples
    ///
    /// See [`WithState`].
    #[inline]
    pub fn state_mut(&mut self) -> &mut T::State {
        // SAFETY: As above, and nobody else has the block.
        unsafe { self.state_ptr().as_mut() }
    }
}

impl<T: Payload + ?Sized> Drop for Block<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants nobody else owns the block, and nobody can use it after
        // its drop.
        unsafe { self.block.free() };
    }
}

impl<T: Payload + ?Sized> fmt::Debug for Block<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("dma_address", &fmt!("{:#x}", self.dma_address()))
            .field("size", &self.size())
            .finish()
    }
}

/// Typed access with `io_read!`, `io_write!` and `io_project!`. A projection knows the DMA address
/// of its part of the block.
impl<'a, T: Payload + ?Sized> IoBase<'a> for &'a Block<'_, T> {
    type Backend = CoherentIoBackend;
    type Target = T::Contents;

    #[inline]
    fn as_view(self) -> CoherentView<'a, T::Contents> {
        // SAFETY: By the type invariants the block's memory, which is part of the page's, holds a
        // `T` at its beginning, for as long as the block is borrowed.
        unsafe {
            CoherentIoBackend::project_view(self.block.memory().as_view(), Block::as_ptr(self))
        }
    }
}

/// A slice as a whole.
///
/// For bytes, these take the place of the methods of [`kernel::io::Io`] with these names, which
/// panic if the lengths differ. A block has as many elements as fit into what was asked for,
/// [`RawGeometry::size`].
impl<T: FromBytes + IntoBytes, P: Payload<Contents = [T]> + ?Sized> Block<'_, P> {
    /// The block as bytes, if it has `len` elements.
    #[inline]
    fn bytes(&self, len: usize) -> Result<CoherentView<'_, [u8]>> {
        if self.as_ptr().len() != len {
            return Err(EINVAL);
        }
        let bytes = ptr::slice_from_raw_parts_mut(self.block.as_ptr(), self.size());

        // SAFETY: So many belong to the block, which is part of the page's memory.
        Ok(unsafe { CoherentIoBackend::project_view(self.block.memory().as_view(), bytes) })
    }

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
    ///
    /// fn write_list(block: &Block<'_, [u64]>, addresses: &[u64]) -> Result {
    ///     block.copy_from_slice(addresses)
    /// }
    /// ```
    #[inline]
    pub fn copy_from_slice(&self, data: &[T]) -> Result {
        let block = self.bytes(data.len())?;

        // SAFETY: `data` is as long as the block, which no reference refers to.
        unsafe { CoherentIoBackend::copy_to_io(block, data.as_ptr().cast()) };
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
    pub fn copy_to_slice(&self, data: &mut [T]) -> Result {
        let block = self.bytes(data.len())?;

        // SAFETY: `data` is as long as the block, which no reference refers to; and any bytes are
        // a `T`.
        unsafe { CoherentIoBackend::copy_from_io(block, data.as_mut_ptr().cast()) };
        Ok(())
    }
}
