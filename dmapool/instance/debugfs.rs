// SPDX-License-Identifier: GPL-2.0

//! What pools there are, for people to read: two files in debugfs, which list all pools when they
//! are read. A pool costs an entry in a list.
//!
//! The list is under a lock that whoever makes or drops a pool takes, and whoever reads. All of
//! them may sleep.

use super::super::sys::prelude::*;
use super::super::{
    allocator::pool::RawPool,
    sys::c_string::{
        self,
        Readable, //
    },
};
use core::fmt::Write;
use kernel::{
    rbtree::RBTree,
    seq_file::SeqFile,
    sync::{
        aref::ARef,
        global_lock, //
    }, //
};

// `dmapool_debugfs.c`
#[cfg(MODULE)]
extern "C" {
    fn rust_dmapool_debugfs_init();
    fn rust_dmapool_debugfs_exit();
}

/// A pool that is listed.
///
/// # Invariants
///
/// It exists, and the device is its.
struct Listed {
    pool: NonNull<RawPool<'static>>,
    /// For its name. Safe code may forget a pool, or drop it where it has to be kept: then it is
    /// listed for longer than the device is bound.
    dev: ARef<Device>,
}

// SAFETY: Any thread may look at a pool, and drop a reference to a device.
unsafe impl Send for Listed {}

global_lock! {
    // SAFETY: Nobody takes it before `IS_READY` says so.
    /// All pools, by their addresses.
    unsafe(uninit) static ALL_POOLS: Mutex<Option<RBTree<usize, Listed>>> = None;
}

/// Whether there is a list. Whoever makes a pool earlier than that does without.
static IS_READY: Atomic<bool> = Atomic::new(false);

/// Makes the list. Process context; may sleep.
///
/// # Safety
///
/// To be called once.
pub(crate) unsafe fn init() {
    // SAFETY: The caller calls this once, and nobody takes the lock before the store below.
    unsafe { ALL_POOLS.init() };
    *ALL_POOLS.lock() = Some(RBTree::new());
    // Release: pairs with the load in `is_ready`.
    IS_READY.store(true, Release);
}

fn is_ready() -> bool {
    // Acquire: whoever sees this sees the lock.
    IS_READY.load(Acquire)
}

/// Makes the files. Process context; may sleep.
#[cfg(MODULE)]
pub(crate) fn create_files() {
    // SAFETY: The function has no requirements but its context.
    unsafe { rust_dmapool_debugfs_init() };
}

/// Removes the files and the list. Process context; may sleep.
#[cfg(MODULE)]
pub(crate) fn exit() {
    // SAFETY: They were made by `create_files`.
    unsafe { rust_dmapool_debugfs_exit() };
    let list = ALL_POOLS.lock().take();

    // As in `unlist`.
    drop(list);
}

/// Lists `pool`. Process context; may sleep.
///
/// # Errors
///
/// [`ENOMEM`]; a pool can do without.
///
/// # Safety
///
/// `pool` must live, and not move, until it is passed to [`unlist`].
pub(crate) unsafe fn list(pool: &RawPool<'_>) -> Result {
    if !is_ready() {
        return Err(ENOENT);
    }
    // INVARIANT: The caller vouches for the pool.
    let listed = Listed {
        pool: NonNull::from(pool).cast(),
        dev: pool.dev.into(),
    };
    let mut list = ALL_POOLS.lock();
    let list = list.as_mut().ok_or(ENOENT)?;

    list.try_create_and_insert(ptr::from_ref(pool).addr(), listed, GFP_KERNEL)?;
    Ok(())
}

/// Takes `pool` off the list, if it is there. Process context; may sleep.
pub(crate) fn unlist(pool: &RawPool<'_>) {
    if !is_ready() {
        return;
    }
    let listed = ALL_POOLS
        .lock()
        .as_mut()
        .and_then(|list| list.remove(&ptr::from_ref(pool).addr()));

    // Not under the lock: the reference to the device may be the last one.
    drop(listed);
}

/// The contents of a file, while somebody reads it.
struct SeqWriter<'a>(&'a SeqFile);

impl fmt::Write for SeqWriter<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.call_printf(fmt!("{s}"));
        Ok(())
    }
}

/// Has `show` write each pool to `file`. The caller in C sees to what does not fit: it tries again
/// with a larger buffer.
///
/// # Safety
///
/// `file` must be one that is being read, for as long as this runs.
unsafe fn show_all(
    file: *mut bindings::seq_file,
    show: impl Fn(&mut SeqWriter<'_>, &RawPool<'_>, &Device) -> fmt::Result,
) -> c_int {
    // SAFETY: The caller vouches for the file.
    let mut f = SeqWriter(unsafe { SeqFile::from_raw(file) });
    let list = ALL_POOLS.lock();
    let mut pools = list.iter().flat_map(|list| list.values());

    // SAFETY: By the type invariants it exists, and stays while the list is locked.
    match pools.try_for_each(|one| show(&mut f, unsafe { one.pool.as_ref() }, &one.dev)) {
        Ok(()) => 0,
        Err(_) => EINVAL.to_errno(),
    }
}

/// Shows the file `pools`: a line for each.
///
/// # Safety
///
/// To be called by debugfs only, with the file that is being read.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_pools(file: *mut bindings::seq_file) -> c_int {
    // SAFETY: debugfs passes the file that is being read.
    unsafe {
        show_all(file, |f, pool, dev| {
            let (geometry, now) = (pool.geometry(), pool.statistics());

            write!(
                f,
                "{} {} {} {} {} {} {} {} {} {} ",
                geometry.size(),
                geometry.stride(),
                geometry.align(),
                now.pages,
                now.capacity,
                now.live,
                now.high_water,
                now.failures,
                now.min_nr,
                now.reserved
            )?;
            show_name(f, pool, dev)
        })
    }
}

/// Shows the file `map`: for each pool its name, and a line for each 64 blocks of a slab, `#` for
/// one that is allocated, `.` for one that is free, and a space for none.
///
/// # Safety
///
/// To be called by debugfs only, with the file that is being read.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_map(file: *mut bindings::seq_file) -> c_int {
    // SAFETY: debugfs passes the file that is being read.
    unsafe {
        show_all(file, |f, pool, dev| {
            show_name(f, pool, dev)?;
            pool.slabs().try_for_each(|slab| pool.show_blocks(slab, f))
        })
    }
}

/// Shows who has the blocks of all pools, those first that were allocated first: how many from one
/// place, the address of the first of them, and the place. Process context; may sleep.
///
/// # Safety
///
/// As [`show_all`].
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_owners(file: *mut bindings::seq_file) -> c_int {
    // SAFETY: The caller vouches for the same.
    unsafe {
        show_all(file, |f, pool, dev| {
            show_name(f, pool, dev)?;
            pool.for_each_site(
                |site| u64::MAX.wrapping_sub(site.oldest.when),
                |line, _| f.write_fmt(fmt!("{line}\n")),
            )
        })
    }
}

/// The device and the pool, to the end of the line.
fn show_name(f: &mut SeqWriter<'_>, pool: &RawPool<'_>, dev: &Device) -> fmt::Result {
    // SAFETY: The name of a device, if not null, is a string that lives as long.
    let device = unsafe {
        let name = bindings::dev_name(ptr::from_ref(dev).cast());

        if name.is_null() {
            c"unnamed"
        } else {
            c_string::from_char_ptr(name)
        }
    };

    f.write_fmt(fmt!("{} {}\n", Readable(device), Readable(&pool.name)))
}
