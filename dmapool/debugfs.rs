// SPDX-License-Identifier: GPL-2.0

//! What pools there are, for people to read: a directory for each device in
//! `/sys/kernel/debug/rust_dmapool`, with a file `pools` in the format of C's sysfs attribute, and
//! a directory for each of its pools.
//!
//! C's attribute `pools` in sysfs is left alone: it is the C core's, and no pool of that core could
//! be made for a device on which somebody else has created it.

use crate::{
    c_pool::string,
    raw_pool::RawPool, //
};
use core::{
    fmt::Write,
    ptr::{
        self,
        null_mut,
        NonNull, //
    },
};
use kernel::{
    bindings,
    fmt,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    },
    seq_file::SeqFile,
    str::CString,
    sync::global_lock, //
};

// `dmapool/debugfs.c`
extern "C" {
    fn rust_dmapool_debugfs_dir(name: *const c_char, parent: *mut c_void) -> *mut c_void;
    fn rust_dmapool_debugfs_device(
        name: *const c_char,
        parent: *mut c_void,
        device: *mut c_void,
    ) -> *mut c_void;
    fn rust_dmapool_debugfs_pool(
        name: *const c_char,
        parent: *mut c_void,
        pool: *mut c_void,
    ) -> *mut c_void;
    fn rust_dmapool_debugfs_remove(dir: *mut c_void);
}

/// A directory, which is removed when this is dropped, with all that is in it. That waits for those
/// who read.
///
/// # Invariants
///
/// What debugfs returned for a directory, which may be an error: debugfs takes these as well.
struct Dir(*mut c_void);

// SAFETY: debugfs may be called by any thread.
unsafe impl Send for Dir {}
// SAFETY: As above.
unsafe impl Sync for Dir {}

impl Drop for Dir {
    fn drop(&mut self) {
        // Readers take this lock, so who waits for them must not hold it. Lockdep tells.
        #[cfg(CONFIG_PROVE_LOCKING)]
        drop(DEVICES.lock());
        // SAFETY: By the type invariants.
        unsafe { rust_dmapool_debugfs_remove(self.0) };
    }
}

/// A pool, as long as it is registered.
///
/// # Invariants
///
/// The pool lives as long as its [`Registration`].
#[derive(Clone, Copy, PartialEq)]
struct Listed(NonNull<RawPool<'static>>);

// SAFETY: A pool may be used by any thread.
unsafe impl Send for Listed {}
// SAFETY: As above.
unsafe impl Sync for Listed {}

impl Listed {
    fn pool(&self) -> &RawPool<'static> {
        // SAFETY: By the type invariants. The list of pools is only read with its lock held.
        unsafe { self.0.as_ref() }
    }
}

/// The directory of a device, while it has pools.
struct Entry {
    name: CString,
    dir: Dir,
    /// By address, with the names of their directories.
    pools: RBTree<usize, (Listed, CString)>,
}

impl Entry {
    fn new(root: &Dir, device: usize, name: CString) -> Self {
        // SAFETY: `root` is a directory. The file only uses the device's address.
        // INVARIANT: It is what debugfs returned.
        let dir = Dir(unsafe {
            rust_dmapool_debugfs_device(
                name.as_char_ptr(),
                root.0,
                ptr::without_provenance_mut(device),
            )
        });

        Self {
            name,
            dir,
            pools: RBTree::new(),
        }
    }

    /// How to name the directory of one more pool.
    fn new_pool_name(&self, name: &CStr) -> Result<CString> {
        let taken = |name: &CStr| {
            is_reserved(name) || self.pools.values().any(|(_, other)| equal(other, name))
        };

        unique(name, taken)
    }
}

global_lock! {
    /// Held while a directory is made or removed. Readers do not take it, so removing a file may
    /// wait for them.
    // SAFETY: Initialized in `init`, before any other use.
    unsafe(uninit) static CHANGES: Mutex<Option<Dir>> = None;
}

global_lock! {
    /// The devices that have pools, by address, once there is a module.
    // SAFETY: As above.
    unsafe(uninit) static DEVICES: Mutex<Option<RBTree<usize, Entry>>> = None;
}

/// Makes the directory of the module.
///
/// # Safety
///
/// To be called once, before anything else here.
pub(crate) unsafe fn init() {
    // SAFETY: By the requirements of this function.
    unsafe {
        CHANGES.init();
        DEVICES.init();
    }
    *DEVICES.lock() = Some(RBTree::new());
    // SAFETY: No parent means the root of debugfs.
    // INVARIANT: It is what debugfs returned.
    let dir = Dir(unsafe { rust_dmapool_debugfs_dir(c"rust_dmapool".as_char_ptr(), null_mut()) });
    *CHANGES.lock() = Some(dir);
}

/// Removes the directory of the module. There are no pools any more.
pub(crate) fn exit() {
    *CHANGES.lock() = None;
}

/// A name as that of a directory: a `/` would not do.
struct DirName<'a>(&'a CStr);

impl fmt::Display for DirName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in bytes(self.0) {
            f.write_char(if byte == b'/' { '_' } else { byte.into() })?;
        }
        Ok(())
    }
}

/// A name in a column of 16 characters, or more if it is longer.
struct Column<'a>(&'a CStr);

impl fmt::Display for Column<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut padding = 16usize;

        for byte in bytes(self.0) {
            f.write_char(byte.into())?;
            padding = padding.saturating_sub(1);
        }
        write!(f, "{:padding$}", "")
    }
}

/// The bytes of a name; unlike those of the standard library, without a subtraction that could
/// panic.
fn bytes(name: &CStr) -> impl Iterator<Item = u8> + '_ {
    name.to_bytes_with_nul()
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
}

fn equal(a: &CStr, b: &CStr) -> bool {
    a.to_bytes_with_nul() == b.to_bytes_with_nul()
}

/// Whether the directory of a device has a file of this name.
fn is_reserved(name: &CStr) -> bool {
    equal(name, c"pools")
}

/// `name`, as a directory that `taken` says does not exist yet.
fn unique(name: &CStr, taken: impl Fn(&CStr) -> bool) -> Result<CString> {
    let name = DirName(name);
    let mut number = 1u32;

    loop {
        let unique = match number {
            1 => CString::try_from_fmt(fmt!("{name}"))?,
            _ => CString::try_from_fmt(fmt!("{name}-{number}"))?,
        };

        if !taken(&unique) {
            return Ok(unique);
        }
        number = number.checked_add(1).ok_or(EOVERFLOW)?;
    }
}

/// A file that is being read, to be written to.
struct Reader<'a>(&'a SeqFile);

impl fmt::Write for Reader<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.call_printf(fmt!("{s}"));
        Ok(())
    }
}

/// Runs `show` for a file that is being read. What does not fit is seen to by the caller in C, who
/// tries again with a larger buffer.
///
/// # Safety
///
/// `file` must be the file, for as long as this runs.
unsafe fn read(
    file: *mut bindings::seq_file,
    show: impl FnOnce(&mut Reader<'_>) -> fmt::Result,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let mut reader = Reader(unsafe { SeqFile::from_raw(file) });

    match show(&mut reader) {
        Ok(()) => 0,
        Err(_) => EINVAL.to_errno(),
    }
}

/// Shows the file `pools` of the device at this address.
///
/// # Safety
///
/// To be called by debugfs only.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_pools(
    file: *mut bindings::seq_file,
    device: *mut c_void,
) -> c_int {
    // SAFETY: By the requirements of this function.
    unsafe { read(file, |f| show_pools(f, device.addr())) }
}

/// Shows the file `statistics` of a pool.
///
/// # Safety
///
/// To be called by debugfs only, for a file that [`Registration::new`] made.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_statistics(
    file: *mut bindings::seq_file,
    pool: *mut c_void,
) -> c_int {
    // SAFETY: By the requirements of this function. The pool lives: before it ends the file is
    // removed, which waits for this.
    unsafe { read(file, |f| show_statistics(f, &*pool.cast::<RawPool<'_>>())) }
}

/// Shows the file `map` of a pool.
///
/// # Safety
///
/// As [`rust_dmapool_show_statistics`].
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_map(
    file: *mut bindings::seq_file,
    pool: *mut c_void,
) -> c_int {
    // SAFETY: As for `rust_dmapool_show_statistics`.
    unsafe { read(file, |f| show_map(f, &*pool.cast::<RawPool<'_>>())) }
}

fn show_pools(f: &mut Reader<'_>, device: usize) -> fmt::Result {
    let devices = DEVICES.lock();

    f.write_str("poolinfo - 0.1\n")?;
    let Some(entry) = devices.as_ref().and_then(|devices| devices.get(&device)) else {
        return Ok(());
    };

    for (listed, _) in entry.pools.values() {
        let pool = listed.pool();
        let now = pool.statistics();

        f.write_fmt(fmt!("{}", Column(pool.name())))?;
        writeln!(
            f,
            " {:>4} {:>4} {:>4} {:>2}",
            now.live,
            now.capacity,
            pool.geometry().size(),
            now.pages
        )?;
    }
    Ok(())
}

fn show_statistics(f: &mut Reader<'_>, pool: &RawPool<'_>) -> fmt::Result {
    let now = pool.statistics();

    writeln!(f, "size {}", pool.geometry().size())?;
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
fn show_map(f: &mut Reader<'_>, pool: &RawPool<'_>) -> fmt::Result {
    const WIDTH: u32 = 64;

    for page in pool.pages() {
        for index in 0..page.blocks() {
            if index % WIDTH == 0 {
                let end = if index == 0 { "" } else { "\n" };
                write!(f, "{end}{:>6} {index:>5} ", page.number())?;
            }
            f.write_str(if page.is_taken(index) { "#" } else { "." })?;
        }
        if page.blocks() != 0 {
            f.write_str("\n")?;
        }
    }
    Ok(())
}

/// A pool's directory, as long as this lives.
pub(crate) struct Registration {
    listed: Listed,
    device: usize,
    /// `None` once it is removed.
    dir: Option<Dir>,
}

impl Registration {
    /// Lists `pool`. Process context; may sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; a pool can do without.
    ///
    /// # Safety
    ///
    /// `pool` must live, and not move, for as long as the result.
    pub(crate) unsafe fn new(pool: &RawPool<'_>) -> Result<Self> {
        let changes = CHANGES.lock();
        let root = changes.as_ref().ok_or(ENOENT)?;
        let device = ptr::from_ref(pool.device()).addr();
        // INVARIANT: By the requirements of this function.
        let listed = Listed(NonNull::from(pool).cast());

        let (parent, name, new) = {
            let devices = DEVICES.lock();
            let devices = devices.as_ref().ok_or(ENOENT)?;

            match devices.get(&device) {
                Some(entry) => (entry.dir.0, entry.new_pool_name(pool.name())?, None),
                None => {
                    let taken =
                        |name: &CStr| devices.values().any(|entry| equal(&entry.name, name));
                    // SAFETY: The device has a name as long as it has pools.
                    let device_name =
                        unsafe { string(bindings::dev_name(ptr::from_ref(pool.device()).cast())) };

                    (
                        null_mut(),
                        unique(pool.name(), is_reserved)?,
                        Some(unique(device_name, taken)?),
                    )
                }
            }
        };
        // Made without the lock, because it is removed again if anything fails from here on, and
        // removing waits for readers, who take the lock.
        let added = new.map(|device_name| Entry::new(root, device, device_name));
        let parent = added.as_ref().map_or(parent, |entry| entry.dir.0);

        // All that can fail comes before anything is listed: taking it off again needs the locks.
        let added = match added {
            Some(entry) => Some(RBTreeNode::new(device, entry, GFP_KERNEL)?),
            None => None,
        };
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;

        // SAFETY: The parent stays: only who holds `CHANGES` removes it. The pool lives longer than
        // the directory.
        // INVARIANT: It is what debugfs returned.
        let dir = Dir(unsafe {
            rust_dmapool_debugfs_pool(name.as_char_ptr(), parent, listed.0.as_ptr().cast())
        });
        let mut devices = DEVICES.lock();
        if let Some(devices) = devices.as_mut() {
            if let Some(entry) = added {
                devices.insert(entry);
            }
            if let Some(entry) = devices.get_mut(&device) {
                let pool = node.into_node(listed.0.addr().get(), (listed, name));
                entry.pools.insert(pool);
            }
        }
        Ok(Self {
            listed,
            device,
            dir: Some(dir),
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _changes = CHANGES.lock();

        // Before the device's directory, which would take it along.
        self.dir = None;
        // Readers of a device's file hold the lock of the list, and removing the file waits for
        // them: so that has to wait until the lock is released.
        let _removed = self.unlist();
    }
}

impl Registration {
    /// Takes the pool off the list, and the device with it if it has no other. Returns the device.
    fn unlist(&self) -> Option<Entry> {
        let mut devices = DEVICES.lock();
        let devices = devices.as_mut()?;
        let entry = devices.get_mut(&self.device)?;

        entry.pools.remove(&self.listed.0.addr().get());
        if !entry.pools.is_empty() {
            return None;
        }
        devices.remove(&self.device)
    }
}
