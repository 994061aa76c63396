// SPDX-License-Identifier: GPL-2.0

pub trait PinInit<T, E> {
    /// # Safety
    ///
    /// `slot` must be memory for a `T` that does not move.
    unsafe fn init(self, slot: *mut T) -> Result<(), E>;
}

struct Closure<F>(F);

impl<T, E, F: FnOnce(*mut T) -> Result<(), E>> PinInit<T, E> for Closure<F> {
    unsafe fn init(self, slot: *mut T) -> Result<(), E> {
        (self.0)(slot)
    }
}

/// # Safety
///
/// `f` must initialize what it is given, if it returns `Ok`.
pub unsafe fn pin_init_from_closure<T, E>(
    f: impl FnOnce(*mut T) -> Result<(), E>,
) -> impl PinInit<T, E> {
    Closure(f)
}
