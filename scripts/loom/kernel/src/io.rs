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

pub trait IoBase<'a> {
    type Backend: IoBackend;
    type Target: ?Sized + 'a;

    fn as_view(self) -> <Self::Backend as IoBackend>::View<'a, Self::Target>;
}
