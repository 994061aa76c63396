// SPDX-License-Identifier: GPL-2.0

//! What a block can hold.

use super::super::{
    allocator::geometry::RawGeometry,
    sys::prelude::*, //
};
use kernel::ptr::KnownSize;

mod private {
    pub trait Sealed {}
}

impl<T: FromBytes + IntoBytes> private::Sealed for T {}
impl<T: FromBytes + IntoBytes> private::Sealed for [T] {}
impl<T: Payload + ?Sized, S: State> private::Sealed for WithState<T, S> {}

/// What the blocks of a [`Pool`] can hold: any type for which all bytes are valid
/// and which has no padding, or a slice of these, plain bytes for example. A slice has as many
/// elements as its blocks have room for, so their size must be a multiple of that of an element.
///
/// A device may change the contents at any time, which is why every bit pattern must be valid.
/// Derive [`FromBytes`] and [`IntoBytes`] and the type is a payload; there is nothing to implement.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use rust_dmapool::Payload;
///
/// #[repr(C)]
/// #[derive(FromBytes, IntoBytes)]
/// struct Descriptor {
///     address: u64,
///     len: u32,
///     flags: u32,
/// }
///
/// fn is_payload<T: Payload + ?Sized>() {}
/// is_payload::<Descriptor>();
/// is_payload::<[u8]>();
/// is_payload::<[Descriptor]>();
/// ```
///
/// ```compile_fail,E0277
/// # use kernel::prelude::*;
/// # use rust_dmapool::Payload;
/// # fn is_payload<T: Payload + ?Sized>() {}
/// // A device could make this neither true nor false.
/// is_payload::<bool>();
/// ```
#[diagnostic::on_unimplemented(
    message = "a block of a DMA pool cannot hold a `{Self}`",
    note = "a device may write any bytes: derive `FromBytes` and `IntoBytes`, with `#[repr(C)]` \
            and without padding, for which `u8` fields can stand",
    note = "or use `[u8]`, and `try_cast` for what a block holds at the time",
    note = "what is beside a block, in a `WithState`, must have a `Default` and be `Send`"
)]
pub trait Payload: private::Sealed {
    /// What is in the memory that driver and device share.
    type Contents: KnownSize + ?Sized;

    /// What the driver has beside each block; see [`WithState`].
    type State: State;

    /// Bytes of a `T`, or of an element of a slice.
    #[doc(hidden)]
    const SIZE: usize;

    /// In bytes.
    #[doc(hidden)]
    const ALIGN: usize;

    #[doc(hidden)]
    const IS_SLICE: bool;

    /// A pointer to the contents of a block of `size` bytes that begins at `block`.
    #[doc(hidden)]
    fn in_block(block: *mut u8, size: usize) -> *mut Self::Contents;
}

/// Whether a block of this geometry can hold a `T`.
pub(crate) const fn fits<T: Payload + ?Sized>(geometry: &RawGeometry) -> bool {
    // No number of elements without bytes makes up a block.
    let holds = !T::IS_SLICE || matches!(geometry.size().checked_rem(T::SIZE), Some(0));

    // Behind an IOMMU, the CPU may see coherent memory at any page of its address space.
    holds && T::SIZE <= geometry.size() && T::ALIGN <= geometry.align() && T::ALIGN <= PAGE_SIZE
}

#[diagnostic::do_not_recommend]
impl<T: FromBytes + IntoBytes> Payload for T {
    type Contents = T;
    type State = ();
    const SIZE: usize = size_of::<T>();
    const ALIGN: usize = align_of::<T>();
    const IS_SLICE: bool = false;

    #[inline]
    fn in_block(block: *mut u8, _size: usize) -> *mut T {
        block.cast()
    }
}

#[diagnostic::do_not_recommend]
impl<T: FromBytes + IntoBytes> Payload for [T] {
    type Contents = [T];
    type State = ();
    const SIZE: usize = size_of::<T>();
    const ALIGN: usize = align_of::<T>();
    const IS_SLICE: bool = true;

    #[inline]
    fn in_block(block: *mut u8, size: usize) -> *mut [T] {
        // It fits, so there is no remainder.
        let len = size.checked_div(size_of::<T>()).unwrap_or(0);

        ptr::slice_from_raw_parts_mut(block.cast(), len)
    }
}

/// What a driver can have beside each block, in memory that the device does not reach: any type
/// that has a [`Default`], can go to other threads and borrows nothing; see [`WithState`].
pub trait State: Default + Send + 'static {}
impl<S: Default + Send + 'static> State for S {}

/// A [`Payload`] with a value of the driver's beside each block: blocks hold a `T`, and
/// [`Block::state`] is an `S`.
///
/// What software has to remember of a descriptor need not be in memory that the device can write,
/// nor be found by a search or an allocation of its own: the pool has it beside the record of its
/// pages, in ordinary memory. It belongs to whoever has the block.
///
/// It is made by [`Default`] when the pool gets pages, in whatever context that is, so that should
/// not sleep nor take long; nor should its drop, because it ends there if there is no memory for
/// what is beside it. It then stays as it is while the block is freed and allocated again, and is
/// dropped with the pool. It is aligned to 64 bytes at most, and that of 64 blocks, or of a page
/// with more, is one allocation: of a few hundred bytes at most, better less.
///
/// # Examples
///
/// ```
/// use kernel::{
///     io::io_write,
///     prelude::*, //
/// };
/// use rust_dmapool::{
///     Block,
///     Pool,
///     WithState, //
/// };
///
/// /// What the controller reads and writes.
/// #[repr(C)]
/// #[derive(FromBytes, IntoBytes)]
/// struct TransferDescriptor {
///     next: u64,
///     token: u64,
/// }
///
/// /// What is none of its business.
/// #[derive(Default)]
/// struct Transfer {
///     tag: u32,
///     retries: u32,
/// }
///
/// type Td = WithState<TransferDescriptor, Transfer>;
///
/// fn prepare<'a>(pool: &'a Pool<'_, Td>, tag: u32) -> Result<Block<'a, Td>> {
///     let mut td = pool.zalloc(GFP_ATOMIC)?;
///
///     *td.state_mut() = Transfer { tag, retries: 0 };
///     io_write!(td, .token, 0x80);
///     Ok(td)
/// }
/// ```
///
/// What cannot go to another thread, or borrows, cannot be beside a block:
///
/// ```compile_fail,E0277
/// use rust_dmapool::{
///     Pool,
///     WithState, //
/// };
///
/// fn example(_pool: &Pool<'_, WithState<u64, *mut u8>>) {}
/// ```
///
/// ```compile_fail,E0521
/// use kernel::prelude::*;
/// use rust_dmapool::{
///     Pool,
///     WithState, //
/// };
///
/// fn example<'a>(pool: &Pool<'_, WithState<u64, Option<&'a u32>>>, number: &'a u32) -> Result {
///     *pool.alloc(GFP_KERNEL)?.state_mut() = Some(number);
///     Ok(())
/// }
/// ```
///
/// It stays of the type with which it was made, also where that has a supertype, because whoever
/// allocates the block next has what the last owner has left:
///
/// ```compile_fail,E0308
/// use rust_dmapool::{
///     Pool,
///     WithState, //
/// };
///
/// type Any = WithState<u64, Option<for<'a> fn(&'a u32)>>;
/// type Kept = WithState<u64, Option<fn(&'static u32)>>;
///
/// fn confuse<'a, 'b>(pool: &'a Pool<'b, Any>) -> &'a Pool<'b, Kept> {
///     pool
/// }
/// ```
///
/// ```compile_fail,E0308
/// use rust_dmapool::{
///     RevocablePool,
///     WithState, //
/// };
///
/// type Any = WithState<u64, Option<for<'a> fn(&'a u32)>>;
/// type Kept = WithState<u64, Option<fn(&'static u32)>>;
///
/// fn confuse(pool: RevocablePool<Any>) -> RevocablePool<Kept> {
///     pool
/// }
/// ```
pub struct WithState<T: Payload + ?Sized, S>(PhantomData<S>, PhantomData<T>);

impl<T: Payload + ?Sized, S: State> Payload for WithState<T, S> {
    type Contents = T::Contents;
    type State = S;
    const SIZE: usize = T::SIZE;
    const ALIGN: usize = T::ALIGN;
    const IS_SLICE: bool = T::IS_SLICE;

    #[inline]
    fn in_block(block: *mut u8, size: usize) -> *mut T::Contents {
        T::in_block(block, size)
    }
}
