// SPDX-License-Identifier: GPL-2.0

//! The mempools of DPDK: what user space has for such blocks. See `dpdk.c`.

use crate::workloads::{
    pools::AnyPool,
    Workload, //
};
use core::sync::atomic::{
    AtomicU32,
    Ordering, //
};
use kernel::prelude::*;

#[repr(C)]
#[allow(non_camel_case_types)] // As in C.
struct rte_mempool {
    private: [u8; 0],
}

extern "C" {
    fn dpdk_init(cpu: u32) -> c_int;
    fn dpdk_register() -> c_int;
    fn dpdk_unregister();
    fn dpdk_create(size: u32, count: u32, number: u32) -> *mut rte_mempool;
    fn dpdk_destroy(pool: *mut rte_mempool) -> c_int;
    fn dpdk_alloc(pool: *mut rte_mempool) -> *mut c_void;
    fn dpdk_free(pool: *mut rte_mempool, object: *mut c_void);
}

/// To be called once, before all else here. Binds this thread to `cpu`.
pub(crate) fn init(cpu: usize) -> Result {
    // CAST: There are not so many CPUs.
    // SAFETY: Nobody has called it yet.
    if unsafe { dpdk_init(cpu as u32) } < 0 {
        return Err(EINVAL);
    }
    Ok(())
}

/// As long as it exists, this thread has caches.
pub(crate) struct Registered(());

impl Registered {
    pub(crate) fn new() -> Self {
        // SAFETY: `init` comes before any thread.
        let registered = unsafe { dpdk_register() };
        assert!(registered == 0, "DPDK does not take this thread");
        Self(())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: This thread was registered.
        unsafe { dpdk_unregister() };
    }
}

pub(crate) struct Mempool(*mut rte_mempool);

// SAFETY: Any number of threads may use a pool.
unsafe impl Sync for Mempool {}
// SAFETY: As above.
unsafe impl Send for Mempool {}

/// What each thread may have in its cache, which the others cannot get at, and a burst.
const SPARE: usize = 1024;

impl Mempool {
    /// A pool as large as `w` needs it for so many threads: it cannot grow.
    pub(crate) fn new(w: Workload, threads: u32) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let count = (w.blocks + SPARE) * threads as usize;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);

        // SAFETY: `init` comes before any pool.
        let pool = unsafe { dpdk_create(w.geometry[0] as u32, count as u32, number) };
        if pool.is_null() {
            return Err(ENOMEM);
        }
        Ok(Self(pool))
    }
}

impl Drop for Mempool {
    fn drop(&mut self) {
        // SAFETY: The pool exists, and nobody uses it any more.
        let full = unsafe { dpdk_destroy(self.0) };
        assert!(full != 0, "objects of a mempool are missing");
    }
}

/// What `rte_mempool_get()` returns.
pub(crate) struct Object(*mut c_void);

// SAFETY: This is just an address.
unsafe impl Send for Object {}

impl AnyPool for Mempool {
    const NAME: &'static str = "rte";
    type Held<'a> = Object;

    #[inline(always)]
    fn alloc(&self) -> Option<Object> {
        // SAFETY: The pool exists.
        let object = unsafe { dpdk_alloc(self.0) };

        (!object.is_null()).then_some(Object(object))
    }

    #[inline(always)]
    fn free(&self, held: Object) {
        // SAFETY: The object comes from this pool, and is not used any more.
        unsafe { dpdk_free(self.0, held.0) };
    }
}
