// SPDX-License-Identifier: GPL-2.0

//! References to this module, for pools whose code may be called when no user of it is left.

use super::super::sys::prelude::*;
use crate::Module;
use kernel::module::this_module;

// `module.c`
extern "C" {
    fn rust_dmapool_synchronize_module();
}

/// As long as one exists, the module cannot be unloaded.
///
/// Whoever drops the last one may be code of the module itself, and has a few instructions left to
/// run. [`wait_for_last`] waits for that.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Any context.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if the module is being unloaded.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The module is here, since this is its code.
        if unsafe { bindings::try_module_get(this_module::<Module>().as_ptr()) } {
            Ok(Self(()))
        } else {
            Err(ENODEV)
        }
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: `new` has taken the reference.
        unsafe { bindings::module_put(this_module::<Module>().as_ptr()) };
    }
}

/// Waits until nobody who has dropped a reference runs code of the module any more; to be called
/// when it is unloaded. Process context; may sleep.
pub(crate) fn wait_for_last() {
    // SAFETY: The function has no requirements but its context.
    unsafe { rust_dmapool_synchronize_module() };
}
