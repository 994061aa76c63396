// SPDX-License-Identifier: GPL-2.0

//! What pools there are, for people to read: files in debugfs, which list all pools when they are
//! read. A pool costs an entry in a list.
//!
//! The list is C's, in `dmapool_debugfs.c`, under a lock that whoever makes or drops a pool takes,
//! and whoever reads. All of them may sleep. Here is what is shown of a pool.

use super::super::sys::prelude::*;
use super::super::{
    allocator::pool::RawPool,
    sys::c_string::{
        self,
        Readable, //
    },
};
use core::{
    cell::UnsafeCell,
    fmt::Write, //
};
use kernel::seq_file::SeqFile;

// `dmapool_debugfs.c`
extern "C" {
    #[cfg(MODULE)]
    pub(crate) fn rust_dmapool_debugfs_init();
    #[cfg(MODULE)]
    pub(crate) fn rust_dmapool_debugfs_exit();
    fn rust_dmapool_list(listed: *mut [usize; 4], dev: *mut c_void, pool: *const c_void);
    fn rust_dmapool_unlist(listed: *mut [usize; 4]);
}

/// The entry of a pool in the list: a `struct rust_dmapool_listed`, which is C's but for its size.
pub(crate) struct Listed(UnsafeCell<[usize; 4]>);

impl Listed {
    /// One that is not in the list.
    pub(super) fn new() -> Self {
        Self(UnsafeCell::new([0; 4]))
    }

    /// Lists `pool`, with a reference to its device: safe code may forget a pool, or drop it where
    /// it has to be kept, and then it is listed for longer than the device is bound. Process
    /// context; may sleep.
    ///
    /// # Safety
    ///
    /// To be called once. Both must live, and not move, until [`Listed::leave`].
    pub(super) unsafe fn enter(&self, pool: &RawPool<'_>) {
        // SAFETY: The caller vouches for it.
        unsafe {
            rust_dmapool_list(
                self.0.get(),
                as_raw(pool.dev).cast(),
                ptr::from_ref(pool).cast(),
            )
        };
    }

    /// Takes it off the list, if it is there. Process context; may sleep.
    pub(crate) fn leave(&self) {
        // SAFETY: It is an entry, or all zeroes.
        unsafe { rust_dmapool_unlist(self.0.get()) };
    }
}

/// The contents of a file, while somebody reads it.
struct SeqWriter<'a>(&'a SeqFile);

impl fmt::Write for SeqWriter<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.call_printf(fmt!("{s}"));
        Ok(())
    }
}

/// Shows a pool in the file `pools`, by a line.
fn show_line(f: &mut SeqWriter<'_>, pool: &RawPool<'_>, dev: &Device) -> fmt::Result {
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
}

/// Shows a pool in the file `map`: its name, and a line for each 64 blocks of a slab, `#` for one
/// that is allocated, `.` for one that is free, and a space for none.
fn show_map(f: &mut SeqWriter<'_>, pool: &RawPool<'_>, dev: &Device) -> fmt::Result {
    show_name(f, pool, dev)?;
    pool.slabs().try_for_each(|slab| pool.show_blocks(slab, f))
}

/// Shows in the file `owners` who has the blocks of a pool, those first that were allocated first:
/// how many from one place, the address of the first of them, and the place.
fn show_owners(f: &mut SeqWriter<'_>, pool: &RawPool<'_>, dev: &Device) -> fmt::Result {
    show_name(f, pool, dev)?;
    pool.for_each_site(
        |site| u64::MAX.wrapping_sub(site.oldest.when),
        |line, _| f.write_fmt(fmt!("{line}\n")),
    )
}

/// Shows `pool`, which is listed as one of `dev`, in file number `which` of those in C.
///
/// # Safety
///
/// `file` must be one that is being read, for as long as this runs.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show(
    file: *mut bindings::seq_file,
    which: u32,
    pool: &RawPool<'_>,
    dev: &Device,
) {
    // SAFETY: The caller vouches for the file.
    let mut f = SeqWriter(unsafe { SeqFile::from_raw(file) });

    // C sees to what does not fit: it tries again with a larger buffer.
    let _ = match which {
        0 => show_line(&mut f, pool, dev),
        1 => show_map(&mut f, pool, dev),
        _ => show_owners(&mut f, pool, dev),
    };
}

/// The device and the pool, to the end of the line.
fn show_name(f: &mut SeqWriter<'_>, pool: &RawPool<'_>, dev: &Device) -> fmt::Result {
    // SAFETY: The name of a device, if not null, is a string that lives as long.
    let device = unsafe {
        let name = bindings::dev_name(as_raw(dev));

        if name.is_null() {
            c"unnamed"
        } else {
            c_string::from_char_ptr(name)
        }
    };

    f.write_fmt(fmt!("{} {}\n", Readable(device), Readable(&pool.name)))
}
