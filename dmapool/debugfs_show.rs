// SPDX-License-Identifier: GPL-2.0

//! What the files in debugfs show of a pool.

use crate::{
    c_string::{
        chars,
        Readable, //
    },
    debugfs::{
        device_name,
        for_each_pool_of,
        with_pool, //
    },
    raw_pool::RawPool, //
};
use core::fmt::Write;
use kernel::{
    bindings,
    fmt,
    prelude::*,
    seq_file::SeqFile, //
};

/// The contents of a file, while somebody reads it.
struct SeqWriter<'a>(&'a SeqFile);

impl fmt::Write for SeqWriter<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.call_printf(fmt!("{s}"));
        Ok(())
    }
}

/// Runs `show` for a file that is being read. The caller in C sees to what does not fit: it tries
/// again with a larger buffer.
///
/// # Safety
///
/// `file` must be the file, for as long as this runs.
unsafe fn show(
    file: *mut bindings::seq_file,
    show: impl FnOnce(&mut SeqWriter<'_>) -> Result<fmt::Result>,
) -> c_int {
    // SAFETY: The caller vouches for the file.
    let mut f = SeqWriter(unsafe { SeqFile::from_raw(file) });

    match show(&mut f) {
        Ok(Ok(())) => 0,
        Ok(Err(_)) => EINVAL.to_errno(),
        Err(err) => err.to_errno(),
    }
}

/// Shows the file `pools` of the device at this address.
///
/// # Safety
///
/// To be called by debugfs only, with the file that is being read.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_pools(
    file: *mut bindings::seq_file,
    device: *mut c_void,
) -> c_int {
    // SAFETY: debugfs passes the file that is being read.
    unsafe { show(file, |f| Ok(show_pools(f, device.addr()))) }
}

/// Shows the file `statistics` of the pool with this number.
///
/// # Safety
///
/// To be called by debugfs only, with the file that is being read.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_statistics(
    file: *mut bindings::seq_file,
    number: *mut c_void,
) -> c_int {
    // SAFETY: debugfs passes the file that is being read.
    unsafe {
        show(file, |f| {
            with_pool(number.addr(), |pool| show_statistics(f, pool))
        })
    }
}

/// Shows the file `map` of the pool with this number.
///
/// # Safety
///
/// To be called by debugfs only, with the file that is being read.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_map(
    file: *mut bindings::seq_file,
    number: *mut c_void,
) -> c_int {
    // SAFETY: debugfs passes the file that is being read.
    unsafe { show(file, |f| with_pool(number.addr(), |pool| show_map(f, pool))) }
}

/// A line for each pool, in the format of C's attribute `pools`.
fn show_pools(f: &mut SeqWriter<'_>, device: usize) -> fmt::Result {
    f.write_str("poolinfo - 0.1\n")?;
    for_each_pool_of(device, |pool| {
        let now = pool.statistics();

        f.write_fmt(fmt!("{}", Column(&pool.name)))?;
        writeln!(
            f,
            " {:>4} {:>4} {:>4} {:>2}",
            now.live,
            now.capacity,
            pool.geometry().stride(),
            now.pages
        )
    })
}

fn show_statistics(f: &mut SeqWriter<'_>, pool: &RawPool<'_>) -> fmt::Result {
    let now = pool.statistics();

    f.write_fmt(fmt!("name {}\n", Readable(&pool.name)))?;
    f.write_fmt(fmt!("device {}\n", Readable(device_name(pool))))?;
    writeln!(f, "size {}", pool.geometry().size())?;
    writeln!(f, "stride {}", pool.geometry().stride())?;
    writeln!(f, "align {}", pool.geometry().align())?;
    writeln!(f, "pages {}", now.pages)?;
    writeln!(f, "capacity {}", now.capacity)?;
    writeln!(f, "live {}", now.live)?;
    writeln!(f, "high_water {}", now.high_water)?;
    writeln!(f, "failures {}", now.failures)?;
    if now.min_nr != 0 {
        writeln!(f, "min_nr {}", now.min_nr)?;
        writeln!(f, "reserved {}", now.reserved)?;
    }
    Ok(())
}

/// A line for each 64 blocks of a page, `#` for one that is allocated or in the reserve.
fn show_map(f: &mut SeqWriter<'_>, pool: &RawPool<'_>) -> fmt::Result {
    const WIDTH: u32 = 64;

    for page in pool.all_pages() {
        for index in 0..page.blocks() {
            if index % WIDTH == 0 {
                let end = if index == 0 { "" } else { "\n" };
                write!(f, "{end}{:>6} {index:>5} ", page.number())?;
            }
            f.write_str(if page.is_allocated(index) { "#" } else { "." })?;
        }
        if page.blocks() != 0 {
            f.write_str("\n")?;
        }
    }
    Ok(())
}

/// A name in a column of 16 characters, or more if it is longer.
struct Column<'a>(&'a CStr);

impl fmt::Display for Column<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let padding = chars(self.0).fold(16usize, |left, _| left.saturating_sub(1));

        f.write_fmt(fmt!("{}", Readable(self.0)))?;
        write!(f, "{:padding$}", "")
    }
}
