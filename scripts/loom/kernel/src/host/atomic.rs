// SPDX-License-Identifier: GPL-2.0

//! The kernel's atomics by way of the processor's.
//!
//! Each operation is a call, as in a kernel without `CONFIG_RUST_INLINE_HELPERS`, which is how
//! distributions build it. With `--cfg inline_helpers` it is none.

use core::{
    cell::UnsafeCell,
    sync::atomic::{
        AtomicI64,
        AtomicPtr,
        AtomicU32,
        AtomicU64,
        AtomicUsize,
        Ordering, //
    }, //
};

/// How an operation is ordered: one that reads, one that writes, and one that does both.
pub trait Order {
    const LOAD: Ordering;
    const STORE: Ordering;
    const MODIFY: Ordering;
}

macro_rules! orders {
    ($($name:ident: load $load:ident, store $store:ident, modify $modify:ident;)*) => {$(
        pub struct $name;

        impl Order for $name {
            const LOAD: Ordering = Ordering::$load;
            const STORE: Ordering = Ordering::$store;
            const MODIFY: Ordering = Ordering::$modify;
        }
    )*};
}

orders! {
    Relaxed: load Relaxed, store Relaxed, modify Relaxed;
    Acquire: load Acquire, store Relaxed, modify Acquire;
    Release: load Relaxed, store Release, modify Release;
    Full: load SeqCst, store SeqCst, modify SeqCst;
}

/// What an [`Atomic`] can hold.
///
/// # Safety
///
/// The functions access what is at `at`, as the processor does atomically.
pub unsafe trait AtomicType: Copy {
    /// # Safety
    ///
    /// There must be a value at `at`, which is aligned and accessed atomically only.
    unsafe fn load(at: *mut Self, order: Ordering) -> Self;

    /// # Safety
    ///
    /// As [`AtomicType::load`].
    unsafe fn store(at: *mut Self, value: Self, order: Ordering);

    /// # Safety
    ///
    /// As [`AtomicType::load`].
    unsafe fn swap(at: *mut Self, value: Self, order: Ordering) -> Self;

    /// # Safety
    ///
    /// As [`AtomicType::load`].
    unsafe fn exchange(at: *mut Self, old: Self, new: Self, order: Ordering) -> Result<Self, Self>;
}

/// What can be added to.
///
/// # Safety
///
/// As [`AtomicType`].
pub unsafe trait AtomicAdd: AtomicType {
    /// # Safety
    ///
    /// As [`AtomicType::load`].
    unsafe fn fetch_add(at: *mut Self, value: Self, order: Ordering) -> Self;

    fn negative(self) -> Self;
}

macro_rules! atomic_type {
    ([$($generic:ident)?] $name:ty: $atomic:ty) => {
        // SAFETY: The functions use the standard library's.
        unsafe impl$(<$generic>)? AtomicType for $name {
            #[inline(always)]
            unsafe fn load(at: *mut Self, order: Ordering) -> Self {
                // SAFETY: The caller vouches for `at`.
                unsafe { <$atomic>::from_ptr(at) }.load(order)
            }

            #[inline(always)]
            unsafe fn store(at: *mut Self, value: Self, order: Ordering) {
                // SAFETY: The caller vouches for `at`.
                unsafe { <$atomic>::from_ptr(at) }.store(value, order)
            }

            #[inline(always)]
            unsafe fn swap(at: *mut Self, value: Self, order: Ordering) -> Self {
                // SAFETY: The caller vouches for `at`.
                unsafe { <$atomic>::from_ptr(at) }.swap(value, order)
            }

            #[inline(always)]
            unsafe fn exchange(
                at: *mut Self,
                old: Self,
                new: Self,
                order: Ordering,
            ) -> Result<Self, Self> {
                // SAFETY: The caller vouches for `at`.
                unsafe { <$atomic>::from_ptr(at) }
                    .compare_exchange(old, new, order, Ordering::Relaxed)
            }
        }
    };
}

macro_rules! atomic_numbers {
    ($($name:ty: $atomic:ty,)*) => {$(
        atomic_type! { [] $name: $atomic }

        // SAFETY: The function uses the standard library's.
        unsafe impl AtomicAdd for $name {
            #[inline(always)]
            unsafe fn fetch_add(at: *mut Self, value: Self, order: Ordering) -> Self {
                // SAFETY: The caller vouches for `at`.
                unsafe { <$atomic>::from_ptr(at) }.fetch_add(value, order)
            }

            #[inline(always)]
            fn negative(self) -> Self {
                self.wrapping_neg()
            }
        }
    )*};
}

atomic_numbers! {
    u32: AtomicU32,
    u64: AtomicU64,
    usize: AtomicUsize,
}
atomic_type! { [T] *mut T: AtomicPtr<T> }

/// An atomic variable.
#[repr(transparent)]
pub struct Atomic<T>(UnsafeCell<T>);

// SAFETY: It is accessed atomically.
unsafe impl<T: AtomicType> Send for Atomic<T> {}
// SAFETY: As above.
unsafe impl<T: AtomicType> Sync for Atomic<T> {}

impl<T: AtomicType> Atomic<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }

    #[cfg_attr(not(inline_helpers), inline(never))]
    #[cfg_attr(inline_helpers, inline(always))]
    pub fn load<O: Order>(&self, _: O) -> T {
        // SAFETY: It is this variable.
        unsafe { T::load(self.as_ptr(), O::LOAD) }
    }

    #[cfg_attr(not(inline_helpers), inline(never))]
    #[cfg_attr(inline_helpers, inline(always))]
    pub fn store<O: Order>(&self, value: T, _: O) {
        // SAFETY: It is this variable.
        unsafe { T::store(self.as_ptr(), value, O::STORE) }
    }

    #[cfg_attr(not(inline_helpers), inline(never))]
    #[cfg_attr(inline_helpers, inline(always))]
    pub fn xchg<O: Order>(&self, value: T, _: O) -> T {
        // SAFETY: It is this variable.
        unsafe { T::swap(self.as_ptr(), value, O::MODIFY) }
    }

    #[cfg_attr(not(inline_helpers), inline(never))]
    #[cfg_attr(inline_helpers, inline(always))]
    pub fn cmpxchg<O: Order>(&self, old: T, new: T, _: O) -> Result<T, T> {
        // SAFETY: It is this variable.
        unsafe { T::exchange(self.as_ptr(), old, new, O::MODIFY) }
    }
}

impl<T: AtomicAdd> Atomic<T> {
    #[cfg_attr(not(inline_helpers), inline(never))]
    #[cfg_attr(inline_helpers, inline(always))]
    pub fn fetch_add<O: Order>(&self, value: T, _: O) -> T {
        // SAFETY: It is this variable.
        unsafe { T::fetch_add(self.as_ptr(), value, O::MODIFY) }
    }

    #[cfg_attr(not(inline_helpers), inline(never))]
    #[cfg_attr(inline_helpers, inline(always))]
    pub fn fetch_sub<O: Order>(&self, value: T, _: O) -> T {
        // SAFETY: It is this variable.
        unsafe { T::fetch_add(self.as_ptr(), value.negative(), O::MODIFY) }
    }

    #[cfg_attr(not(inline_helpers), inline(never))]
    #[cfg_attr(inline_helpers, inline(always))]
    pub fn add<O: Order>(&self, value: T, _: O) {
        // SAFETY: It is this variable.
        unsafe { T::fetch_add(self.as_ptr(), value, O::MODIFY) };
    }
}

macro_rules! fetch {
    ($($name:ident, $ordering:ident: |$word:ident, $mask:ident, $order:ident| $f:expr;)*) => {$(
        /// # Safety
        ///
        /// There must be a value at `at`, which is aligned and accessed atomically only.
        #[cfg_attr(not(inline_helpers), inline(never))]
        #[cfg_attr(inline_helpers, inline(always))]
        pub unsafe fn $name($mask: i64, at: *mut AtomicI64) -> i64 {
            // SAFETY: The caller vouches for `at`.
            let $word = unsafe { &*at };
            let $order = Ordering::$ordering;

            $f
        }
    )*};
}

// What `crate::bindings` has.
fetch! {
    atomic64_fetch_or_relaxed, Relaxed: |word, mask, order| word.fetch_or(mask, order);
    atomic64_fetch_or_release, Release: |word, mask, order| word.fetch_or(mask, order);
    atomic64_fetch_andnot_relaxed, Relaxed: |word, mask, order| word.fetch_and(!mask, order);
    atomic64_fetch_andnot_acquire, Acquire: |word, mask, order| word.fetch_and(!mask, order);
}
