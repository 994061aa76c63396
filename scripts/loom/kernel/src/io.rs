// SPDX-License-Identifier: GPL-2.0

pub trait IoBackend {
    type View<'a, T: ?Sized + 'a>;

    /// # Safety
    ///
    /// `ptr` must point into what `view` shows.
    unsafe fn project_view<'a, T: ?Sized + 'a, U: ?Sized + 'a>(
        view: Self::View<'a, T>,
        ptr: *mut U,
    ) -> Self::View<'a, U>;
}

pub trait IoCopyable: IoBackend {
    /// # Safety
    ///
    /// There must be as many bytes at `source` as `view` shows.
    unsafe fn copy_to_io<'a>(view: Self::View<'a, [u8]>, source: *const u8);

    /// # Safety
    ///
    /// There must be as many bytes at `target` as `view` shows.
    unsafe fn copy_from_io<'a>(view: Self::View<'a, [u8]>, target: *mut u8);
}

pub trait IoBase<'a> {
    type Backend: IoBackend;
    type Target: ?Sized + 'a;

    fn as_view(self) -> <Self::Backend as IoBackend>::View<'a, Self::Target>;
}
