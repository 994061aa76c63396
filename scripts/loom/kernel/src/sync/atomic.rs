// SPDX-License-Identifier: GPL-2.0

//! The kernel's atomics by way of loom's.
//!
//! The two memory models differ in three ways that matter here:
//!
//! - Loads through a pointer come after the load of the pointer, for the kernel; C11 promises that
//!   only to an acquire load. So [`Volatile::read_volatile`] of a pointer is one. Of a number it is
//!   relaxed.
//! - An operation that is [`Full`] orders all before it and all after it: two fences.
//! - A compare-and-exchange that fails orders nothing.

use crate::model::{
    self,
    Cell, //
};
use core::cell::UnsafeCell;
use loom::sync::atomic::Ordering;

/// How an operation is ordered.
pub trait Order {
    const ORDERING: Ordering;
    const FULL: bool = false;
}

macro_rules! orders {
    ($($name:ident: $ordering:ident $($full:ident)?,)*) => {$(
        #[derive(Clone, Copy)]
        pub struct $name;

        impl Order for $name {
            const ORDERING: Ordering = Ordering::$ordering;
            $(const $full: bool = true;)?
        }
    )*};
}

orders! {
    Relaxed: Relaxed,
    Acquire: Acquire,
    Release: Release,
    Full: AcqRel FULL,
}

/// What an [`Atomic`] can hold.
pub trait AtomicType: Copy {
    const POINTER: bool;

    fn into_bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
}

macro_rules! atomic_types {
    ($($name:ty: $signed:ty,)*) => {$(
        impl AtomicType for $name {
            const POINTER: bool = false;

            fn into_bits(self) -> u64 {
                // With its sign, so that a sum that wraps around is one of 64 bits that does.
                self as $signed as i64 as u64
            }

            fn from_bits(bits: u64) -> Self {
                bits as $name
            }
        }
    )*};
}

atomic_types! {
    u32: i32,
    u64: i64,
    usize: isize,
}

impl<T> AtomicType for *mut T {
    const POINTER: bool = true;

    fn into_bits(self) -> u64 {
        self.expose_provenance() as u64
    }

    fn from_bits(bits: u64) -> Self {
        core::ptr::with_exposed_provenance_mut(bits as usize)
    }
}

/// An atomic variable. In memory is what it was initialized with, be it by zeroed bytes; all later
/// values are kept in [`model`], by address.
#[repr(transparent)]
pub struct Atomic<T>(UnsafeCell<T>);

// SAFETY: What is in memory does not change.
unsafe impl<T: AtomicType> Send for Atomic<T> {}
// SAFETY: As above.
unsafe impl<T: AtomicType> Sync for Atomic<T> {}

impl<T: AtomicType> Atomic<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    fn cell(&self) -> Cell {
        // SAFETY: Nobody writes to it.
        let initial = unsafe { *self.0.get() };

        model::cell(self.0.get() as usize, initial.into_bits())
    }

    /// Looks after pointers that were read.
    fn found(bits: u64) -> T {
        if T::POINTER {
            model::reach(bits as usize);
        }
        T::from_bits(bits)
    }

    /// A read-modify-write operation by `f`, which makes `bits` visible.
    fn modify<O: Order>(
        &self,
        bits: u64,
        f: impl FnOnce(Cell, Ordering) -> Result<u64, u64>,
    ) -> Result<T, T> {
        let cell = self.cell();
        let first = T::POINTER && model::publish(bits as usize);

        if O::FULL {
            model::full_barrier();
        }
        match f(cell, O::ORDERING) {
            Ok(old) => {
                if O::FULL {
                    model::full_barrier();
                }
                Ok(Self::found(old))
            }
            Err(now) => {
                if first {
                    model::unpublish(bits as usize);
                }
                Err(T::from_bits(now))
            }
        }
    }

    pub fn load<O: Order>(&self, _: O) -> T {
        Self::found(self.cell().load(O::ORDERING))
    }

    pub fn store<O: Order>(&self, value: T, _: O) {
        let bits = value.into_bits();
        let cell = self.cell();

        if T::POINTER {
            model::publish(bits as usize);
        }
        cell.store(bits, O::ORDERING);
    }

    pub fn xchg<O: Order>(&self, value: T, _: O) -> T {
        let new = value.into_bits();

        match self.modify::<O>(new, |cell, order| Ok(cell.swap(new, order))) {
            Ok(old) | Err(old) => old,
        }
    }

    pub fn cmpxchg<O: Order>(&self, old: T, new: T, _: O) -> Result<T, T> {
        let (old, new) = (old.into_bits(), new.into_bits());

        self.modify::<O>(new, |cell, order| cell.compare_exchange(old, new, order))
    }

    pub fn fetch_add<O: Order>(&self, value: T, _: O) -> T {
        let value = value.into_bits();

        match self.modify::<O>(0, |cell, order| Ok(cell.fetch_add(value, order))) {
            Ok(old) | Err(old) => old,
        }
    }

    pub fn fetch_sub<O: Order>(&self, value: T, order: O) -> T {
        self.fetch_add(T::from_bits(value.into_bits().wrapping_neg()), order)
    }

    pub fn add<O: Order>(&self, value: T, order: O) {
        self.fetch_add(value, order);
    }

    /// In place of a pointer, what [`Atomic::as_ptr`] is used for.
    pub fn as_ptr(&self) -> Volatile<'_, T> {
        Volatile(self)
    }
}

pub struct Volatile<'a, T>(&'a Atomic<T>);

impl Volatile<'_, u64> {
    /// The pointer to the `atomic64_t` that it is for C.
    pub fn cast(self) -> Self {
        self
    }

    /// Loom's own operations would not do, because what it has is not the value itself: see
    /// [`crate::model`].
    fn fetch_modify<O: Order + Copy>(self, f: impl Fn(u64) -> u64, order: O) -> u64 {
        let mut before = self.0.load(Relaxed);

        while let Err(now) = self.0.cmpxchg(before, f(before), order) {
            before = now;
        }
        before
    }
}

macro_rules! fetch {
    ($($name:ident, $order:ident: $f:expr;)*) => {$(
        /// # Safety
        ///
        /// None here; it is that of a pointer.
        pub unsafe fn $name(mask: i64, word: Volatile<'_, u64>) -> i64 {
            let f: fn(u64, u64) -> u64 = $f;

            word.fetch_modify(|bits| f(bits, mask as u64), $order) as i64
        }
    )*};
}

// What `crate::bindings` has. The relaxed ones are for mutations.
fetch! {
    atomic64_fetch_or_relaxed, Relaxed: |bits, mask| bits | mask;
    atomic64_fetch_or_release, Release: |bits, mask| bits | mask;
    atomic64_fetch_andnot_relaxed, Relaxed: |bits, mask| bits & !mask;
    atomic64_fetch_andnot_acquire, Acquire: |bits, mask| bits & !mask;
}

impl<T: AtomicType> Volatile<'_, T> {
    /// C's `READ_ONCE()`.
    ///
    /// # Safety
    ///
    /// None here; it is that of a pointer.
    pub unsafe fn read_volatile(self) -> T {
        if T::POINTER {
            self.0.load(Acquire)
        } else {
            self.0.load(Relaxed)
        }
    }
}
