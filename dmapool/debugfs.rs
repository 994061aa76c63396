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
/// who open a file, and not for those who read one.
///
/// # Invariants
///
/// What debugfs returned for a directory, which may be an error: debugfs takes these as well; or
/// null.
struct Dir(*mut c_void);

// SAFETY: debugfs may be called by any thread.
unsafe impl Send for Dir {}
// SAFETY: As above.
unsafe impl Sync for Dir {}

impl Dir {
    /// Removes it now.
    fn remove(&mut self) {
        // Nobody who holds this lock should wait for others. Lockdep tells.
        #[cfg(CONFIG_PROVE_LOCKING)]
        drop(LISTS.lock());
        // SAFETY: By the type invariants.
        unsafe { rust_dmapool_debugfs_remove(self.0) };
        // INVARIANT: debugfs takes null for nothing.
        self.0 = null_mut();
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !self.0.is_null() {
            self.remove();
        }
    }
}

/// A pool in the list. Files know it by its number only.
///
/// # Invariants
///
/// The pool lives as long as its [`Registration`], which takes it off the list.
struct Listed {
    pool: NonNull<RawPool<'static>>,
    device: usize,
    /// That of its directory.
    name: CString,
}

// SAFETY: A pool may be used by any thread.
unsafe impl Send for Listed {}
// SAFETY: As above.
unsafe impl Sync for Listed {}

impl Listed {
    fn pool(&self) -> &RawPool<'static> {
        // SAFETY: By the type invariants. The list is only read with its lock held.
        unsafe { self.pool.as_ref() }
    }
}

/// The directory of a device, while it has pools.
struct Entry {
    name: CString,
    dir: Dir,
    /// How many pools it has.
    pools: usize,
    /// What to append to the next name that exists already.
    suffix: u32,
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
            pools: 0,
            suffix: FIRST_SUFFIX,
        }
    }
}

const FIRST_SUFFIX: u32 = 2;

/// What there is.
struct Lists {
    /// By address.
    devices: RBTree<usize, Entry>,
    /// By number.
    pools: RBTree<usize, Listed>,
    /// The number of the last pool. None is used twice, since a file may be held open for long.
    last: usize,
}

impl Lists {
    /// How to name the directory of one more pool of a device.
    fn new_pool_name(&mut self, device: usize, name: &CStr) -> Result<CString> {
        let (devices, pools) = (&mut self.devices, &self.pools);
        let mut first = FIRST_SUFFIX;
        let suffix = devices
            .get_mut(&device)
            .map_or(&mut first, |entry| &mut entry.suffix);

        unique(name, suffix, |name| {
            equal(name, c"pools")
                || pools
                    .values()
                    .any(|other| other.device == device && equal(&other.name, name))
        })
    }

    /// How to name the directory of one more device.
    fn new_device_name(&self, name: &CStr) -> Result<CString> {
        unique(name, &mut { FIRST_SUFFIX }, |name| {
            self.devices.values().any(|entry| equal(&entry.name, name))
        })
    }
}

global_lock! {
    /// Held while a directory is made or removed. Readers do not take it.
    // SAFETY: Initialized in `init`, before any other use.
    unsafe(uninit) static CHANGES: Mutex<Option<Dir>> = None;
}

global_lock! {
    /// The pools that there are, once there is a module. Held for as long as it takes to print one
    /// of them into memory; nobody waits for user space with it.
    // SAFETY: As above.
    unsafe(uninit) static LISTS: Mutex<Option<Lists>> = None;
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
        LISTS.init();
    }
    *LISTS.lock() = Some(Lists {
        devices: RBTree::new(),
        pools: RBTree::new(),
        last: 0,
    });
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

/// `name`, as a directory that `taken` says does not exist yet: with `suffix`, or a later one, if
/// need be.
fn unique(name: &CStr, suffix: &mut u32, taken: impl Fn(&CStr) -> bool) -> Result<CString> {
    let name = DirName(name);
    let mut unique = CString::try_from_fmt(fmt!("{name}"))?;

    while taken(&unique) {
        let number = *suffix;

        unique = CString::try_from_fmt(fmt!("{name}-{number}"))?;
        *suffix = number.checked_add(1).ok_or(EOVERFLOW)?;
    }
    Ok(unique)
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
    show: impl FnOnce(&mut Reader<'_>) -> Result<fmt::Result>,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let mut reader = Reader(unsafe { SeqFile::from_raw(file) });

    match show(&mut reader) {
        Ok(Ok(())) => 0,
        Ok(Err(_)) => EINVAL.to_errno(),
        Err(err) => err.to_errno(),
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
    unsafe { read(file, |f| Ok(show_pools(f, device.addr()))) }
}

/// Shows the file `statistics` of the pool with this number.
///
/// # Safety
///
/// To be called by debugfs only.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_statistics(
    file: *mut bindings::seq_file,
    number: *mut c_void,
) -> c_int {
    // SAFETY: By the requirements of this function.
    unsafe { read(file, |f| show_pool(f, number.addr(), show_statistics)) }
}

/// Shows the file `map` of the pool with this number.
///
/// # Safety
///
/// To be called by debugfs only.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_show_map(
    file: *mut bindings::seq_file,
    number: *mut c_void,
) -> c_int {
    // SAFETY: By the requirements of this function.
    unsafe { read(file, |f| show_pool(f, number.addr(), show_map)) }
}

/// Shows something of a pool.
///
/// # Errors
///
/// [`ENODEV`] if it is gone.
fn show_pool(
    f: &mut Reader<'_>,
    number: usize,
    show: fn(&mut Reader<'_>, &RawPool<'_>) -> fmt::Result,
) -> Result<fmt::Result> {
    let lists = LISTS.lock();
    let lists = lists.as_ref().ok_or(ENODEV)?;
    let listed = lists.pools.get(&number).ok_or(ENODEV)?;

    Ok(show(f, listed.pool()))
}

fn show_pools(f: &mut Reader<'_>, device: usize) -> fmt::Result {
    let lists = LISTS.lock();

    f.write_str("poolinfo - 0.1\n")?;
    let Some(lists) = lists.as_ref() else {
        return Ok(());
    };

    for listed in lists.pools.values() {
        if listed.device != device {
            continue;
        }
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

/// A pool's place in the list, and its directory, as long as this lives.
pub(crate) struct Registration {
    number: usize,
    device: usize,
    dir: Dir,
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
    /// `pool` must live, and not move, until the result is dropped.
    pub(crate) unsafe fn new(pool: &RawPool<'_>) -> Result<Self> {
        let changes = CHANGES.lock();
        let root = changes.as_ref().ok_or(ENOENT)?;
        let device = ptr::from_ref(pool.device()).addr();

        let (number, parent, name, new) = {
            let mut lists = LISTS.lock();
            let lists = lists.as_mut().ok_or(ENOENT)?;
            let name = lists.new_pool_name(device, pool.name())?;

            lists.last = lists.last.wrapping_add(1);
            match lists.devices.get(&device) {
                Some(entry) => (lists.last, entry.dir.0, name, None),
                None => {
                    let new = lists.new_device_name(device_name(pool))?;

                    (lists.last, null_mut(), name, Some(new))
                }
            }
        };
        // Made without the lock, because it is removed again if anything fails from here on, and
        // removing waits for who opens a file.
        let added = new.map(|device_name| Entry::new(root, device, device_name));
        let parent = added.as_ref().map_or(parent, |entry| entry.dir.0);

        // All that can fail comes before anything is listed: taking it off again needs the locks.
        let added = match added {
            Some(entry) => Some(RBTreeNode::new(device, entry, GFP_KERNEL)?),
            None => None,
        };
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;

        // SAFETY: The parent stays: only who holds `CHANGES` removes it. The file only uses the
        // number.
        // INVARIANT: It is what debugfs returned.
        let dir = Dir(unsafe {
            rust_dmapool_debugfs_pool(
                name.as_char_ptr(),
                parent,
                ptr::without_provenance_mut(number),
            )
        });
        let mut lists = LISTS.lock();
        if let Some(lists) = lists.as_mut() {
            if let Some(entry) = added {
                lists.devices.insert(entry);
            }
            if let Some(entry) = lists.devices.get_mut(&device) {
                entry.pools = entry.pools.wrapping_add(1);
                // INVARIANT: By the requirements of this function.
                let listed = Listed {
                    pool: NonNull::from(pool).cast(),
                    device,
                    name,
                };
                lists.pools.insert(node.into_node(number, listed));
            }
        }
        Ok(Self {
            number,
            device,
            dir,
        })
    }

    /// Takes the pool off the list, and the device with it if it has no other. Returns the device.
    fn unlist(&self) -> Option<Entry> {
        let mut lists = LISTS.lock();
        let lists = lists.as_mut()?;
        let _removed = lists.pools.remove(&self.number);
        let entry = lists.devices.get_mut(&self.device)?;

        entry.pools = entry.pools.wrapping_sub(1);
        if entry.pools != 0 {
            return None;
        }
        lists.devices.remove(&self.device)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _changes = CHANGES.lock();
        // From now on no reader finds the pool. Its directory goes before that of the device, which
        // would take it along.
        let device = self.unlist();

        self.dir.remove();
        drop(device);
    }
}

/// What a pool's device is called, if it is called anything.
fn device_name<'a>(pool: &'a RawPool<'_>) -> &'a CStr {
    // SAFETY: The device has a name, if it has one, as long as it has pools.
    unsafe {
        let name = bindings::dev_name(ptr::from_ref(pool.device()).cast());

        if name.is_null() {
            c"unnamed"
        } else {
            string(name)
        }
    }
}
