// SPDX-License-Identifier: GPL-2.0

//! Pools for whoever may outlive the binding of the device: open files, work items, timers,
//! statics.
//!
//! They can be held for as long as one likes, and are of use while the device is bound.

use super::super::{
    allocator::options::Options,
    sys::prelude::*, //
};
use super::{
    block::Block,
    gate::Gate,
    geometry::Geometry,
    payload::Payload,
    pool::Pool, //
};
use kernel::{
    device::Core,
    sync::Arc, //
};
use mem::ManuallyDrop;

/// Takes the pool away from all who have it; the devres action.
///
/// # Safety
///
/// `pool` must come from [`Arc::into_raw`] of a [`RevocablePool`], and is not used after this.
unsafe extern "C" fn revoke(pool: *mut c_void) {
    // SAFETY: devres passes what was added with this action. As in C, it lies in memory as one of
    // any other payload does.
    let this = unsafe { Arc::from_raw(pool.cast_const().cast::<RevocablePool>()) };

    this.gate.close();
    // SAFETY: By the type invariants it is there, and nobody is inside any more.
    drop(unsafe { ptr::read(&*this.pool) });
}

/// A pool that whoever has it may keep beyond the binding of the device: it borrows nothing, and as
/// an [`Arc`] can be copied, go to other threads, and stay in a static.
///
/// [`RevocablePool::with`] gives access to the pool while the device is bound, and none after that.
/// When the driver detaches, devres waits for all who are inside. Then the pool ends, and with it
/// all of its blocks: those that a [`HeldBlock`] has, those that are out as tokens or by their
/// addresses, and those that were forgotten. Nothing has to be remembered or taken back, but the
/// device must not use them any more: stop it in the driver's `unbind`, or when its data is
/// dropped.
///
/// Where a driver's own data is all that has blocks, a pool that is lent costs less
/// ([`Managed::lend`]). An access is two atomic operations on a word that all
/// share.
///
/// # Examples
///
/// A work item that completes a request, whenever it runs:
///
/// ```
/// use kernel::{
///     device::Core,
///     io::Io,
///     pci,
///     prelude::*,
///     sync::Arc,
///     workqueue, //
/// };
/// use rust_dmapool::{
///     Geometry,
///     HeldBlock,
///     Options,
///     Pool,
///     RevocablePool, //
/// };
///
/// fn probe(pdev: &pci::Device<Core<'_>>) -> Result<Arc<RevocablePool<u64>>> {
///     Pool::new_revocable(pdev.as_ref(), c"status", Geometry::of(), Options::new())
/// }
///
/// fn complete_later(status: HeldBlock<u64>) -> Result {
///     workqueue::system().try_spawn(GFP_ATOMIC, move || {
///         match status.with(|block| block.copy_read()) {
///             Some(status) => pr_info!("completed with {status}\n"),
///             None => pr_info!("the device is gone\n"),
///         }
///         // The block is freed here, if it is still there.
///     })?;
///     Ok(())
/// }
///
/// fn submit(pool: &Arc<RevocablePool<u64>>) -> Result {
///     complete_later(pool.zalloc(GFP_KERNEL)?)
/// }
/// ```
///
/// Neither the pool nor a block of it can be taken out of such an access:
///
/// ```compile_fail
/// use kernel::prelude::*;
/// use rust_dmapool::RevocablePool;
///
/// fn example(pool: &RevocablePool) {
///     let _block = pool.with(|pool| pool.alloc(GFP_KERNEL));
/// }
/// ```
///
/// # Invariants
///
/// `pool` is there until the gate is closed and all have left.
#[repr(C)]
pub struct RevocablePool<T: Payload + ?Sized = [u8]> {
    gate: Pin<KBox<Gate>>,
    pool: ManuallyDrop<Pool<'static, T>>,
}

impl<T: Payload + ?Sized> Pool<'static, T> {
    /// A pool for whoever may outlive the binding of `dev`: see [`RevocablePool`].
    ///
    /// `dev` is that of what the driver's `probe` is given, on any bus. Process context; may sleep.
    ///
    /// # Errors
    ///
    /// As [`Pool::new_managed_with`].
    ///
    /// # Examples
    ///
    /// See [`RevocablePool`].
    pub fn new_revocable(
        dev: &Device<Core<'_>>,
        name: &CStr,
        geometry: Geometry<T>,
        options: Options,
    ) -> Result<Arc<RevocablePool<T>>> {
        let options = Options {
            // devres may destroy the pool when there is no user of the module left.
            holds_module: true,
            ends_blocks: true,
            ..options
        };
        // SAFETY: devres destroys the pool when the device is still there, and nobody uses it any
        // more. `'static` is as long as that. The code of `T` stays until then: what has a `Core`
        // device is code of the device's driver.
        let bound: &'static Device<Bound> = unsafe { &*ptr::from_ref::<Device<Bound>>(dev) };
        let pool = Pool::new_with(bound, name, geometry, options)?;
        let gate = KBox::pin_init(Gate::new(), GFP_KERNEL)?;
        // INVARIANT: The gate is open.
        let this = Arc::init(
            init!(RevocablePool {
                gate,
                pool: ManuallyDrop::new(pool),
            }),
            GFP_KERNEL,
        )?;
        let action = Arc::into_raw(this.clone()).cast_mut().cast();

        // SAFETY: `dev` is bound. If this fails, the action has run.
        to_result(unsafe {
            bindings::devm_add_action_or_reset(as_raw(dev), Some(revoke), action)
        })?;
        Ok(this)
    }
}

impl<T: Payload + ?Sized> RevocablePool<T> {
    /// Calls `access` with the pool, if that is still there; it stays so until that returns. It is
    /// there while the device is bound, and then until devres, which releases what was made last
    /// first, comes to it.
    ///
    /// In whatever context `access` may be called. It may sleep if the caller may. It must not wait
    /// for what detaches the driver, which waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kernel::prelude::*;
    /// # fn example(pool: &rust_dmapool::RevocablePool) -> Result {
    /// let address = pool
    ///     .with(|pool| Ok::<_, Error>(pool.alloc(GFP_KERNEL)?.dma_address()))
    ///     .ok_or(ENODEV)??;
    /// # pr_info!("{address:#x}\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn with<R>(&self, access: impl FnOnce(&Pool<'_, T>) -> R) -> Option<R> {
        self.gate.pass(|| access(&self.pool))
    }

    /// A block to be held for as long as one likes. Any context that `flags` allow.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if the device is not bound any more; else as [`Pool::alloc`].
    ///
    /// # Examples
    ///
    /// See [`RevocablePool`].
    pub fn alloc(self: &Arc<Self>, flags: Flags) -> Result<HeldBlock<T>> {
        self.with(|pool| {
            let block: Block<'_, T> = pool.alloc(flags)?;

            // SAFETY: Whoever has a `HeldBlock` uses the block only while inside, when the pool is
            // there.
            let block = unsafe { mem::transmute::<Block<'_, T>, Block<'static, T>>(block) };
            Ok(HeldBlock {
                pool: self.clone(),
                block: ManuallyDrop::new(block),
            })
        })
        .unwrap_or(Err(ENODEV))
    }

    /// The same, and the block is filled with zeroes.
    ///
    /// # Errors
    ///
    /// As [`RevocablePool::alloc`].
    ///
    /// # Examples
    ///
    /// See [`RevocablePool`].
    pub fn zalloc(self: &Arc<Self>, flags: Flags) -> Result<HeldBlock<T>> {
        self.alloc(flags | __GFP_ZERO)
    }
}

/// A block of a [`RevocablePool`] that may be held beyond the binding of the device.
///
/// Dropping it frees the block, if that is still there. Any context.
///
/// # Examples
///
/// See [`RevocablePool`].
pub struct HeldBlock<T: Payload + ?Sized = [u8]> {
    pool: Arc<RevocablePool<T>>,
    block: ManuallyDrop<Block<'static, T>>,
}

impl<T: Payload + ?Sized> HeldBlock<T> {
    /// Calls `access` with the block, if the device is still bound, as [`RevocablePool::with`] does
    /// with the pool.
    ///
    /// # Examples
    ///
    /// See [`RevocablePool`].
    pub fn with<R>(&self, access: impl FnOnce(&Block<'_, T>) -> R) -> Option<R> {
        self.pool.gate.pass(|| access(&self.block))
    }

    /// The same, for what is beside the block ([`Block::state_mut`]).
    ///
    /// # Examples
    ///
    /// ```
    /// use rust_dmapool::{
    ///     HeldBlock,
    ///     WithState, //
    /// };
    ///
    /// fn count(request: &mut HeldBlock<WithState<u64, u32>>) -> Option<u32> {
    ///     request.with_mut(|block| {
    ///         *block.state_mut() += 1;
    ///         *block.state()
    ///     })
    /// }
    /// ```
    ///
    /// No other block can be put in its place:
    ///
    /// ```compile_fail
    /// use rust_dmapool::HeldBlock;
    ///
    /// fn exchange(one: &mut HeldBlock, other: &mut HeldBlock) {
    ///     one.with_mut(|one| other.with_mut(|other| core::mem::swap(one, other)));
    /// }
    /// ```
    pub fn with_mut<R>(&mut self, access: impl FnOnce(&mut Block<'_, T>) -> R) -> Option<R> {
        // SAFETY: A block is the same whatever its lifetime, which here is that of the access. For
        // `access` it is any, so no other block can be put in its place but one that lives longer.
        let block: &mut Block<'_, T> = unsafe { mem::transmute(&mut *self.block) };

        self.pool.gate.pass(|| access(block))
    }
}

impl<T: Payload + ?Sized> Drop for HeldBlock<T> {
    fn drop(&mut self) {
        let block = &mut self.block;

        // SAFETY: The pool is there, and the block is not used after this.
        self.pool.gate.pass(|| unsafe { ManuallyDrop::drop(block) });
    }
}
