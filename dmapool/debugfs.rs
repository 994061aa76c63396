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
        NonNull, //
    },
};
use kernel::{
    bindings,
    debugfs::{
        Dir,
        File,
        Writer, //
    },
    fmt,
    prelude::*,
    rbtree::RBTree,
    str::CString,
    sync::global_lock, //
};

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
        // SAFETY: By the type invariants. Files are removed before the registration ends, and
        // removing waits for readers; the list of pools is only read with its lock held.
        unsafe { self.0.as_ref() }
    }
}

/// The directory of a device, while it has pools.
struct Entry {
    name: CString,
    dir: Dir,
    /// By address, with the names of their directories.
    pools: RBTree<usize, (Listed, CString)>,
    /// Here to be removed with the rest.
    _file: Pin<KBox<File<Pools>>>,
}

impl Entry {
    fn new(root: &Dir, device: usize, name: CString) -> Result<Self> {
        let dir = root.subdir(&name);

        Ok(Self {
            _file: KBox::pin_init(dir.read_only_file(c"pools", Pools(device)), GFP_KERNEL)?,
            name,
            dir,
            pools: RBTree::new(),
        })
    }

    /// How to name the directory of one more pool.
    fn new_pool_name(&self, name: &CStr) -> Result<CString> {
        let taken = |name: &CStr| {
            equal(name, c"pools") || self.pools.values().any(|(_, other)| equal(other, name))
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
    *CHANGES.lock() = Some(Dir::new(c"rust_dmapool"));
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

/// The file `pools` of a device, which is named by its address.
struct Pools(usize);

impl Writer for Pools {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let devices = DEVICES.lock();

        f.write_str("poolinfo - 0.1\n")?;
        let Some(entry) = devices.as_ref().and_then(|devices| devices.get(&self.0)) else {
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
}

/// The file `statistics` of a pool.
struct Statistics(Listed);

impl Writer for Statistics {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = self.0.pool();
        let now = pool.statistics();

        writeln!(f, "size {}", pool.geometry().size())?;
        writeln!(f, "align {}", pool.geometry().align())?;
        writeln!(f, "pages {}", now.pages)?;
        writeln!(f, "capacity {}", now.capacity)?;
        writeln!(f, "live {}", now.live)?;
        writeln!(f, "high_water {}", now.high_water)?;
        writeln!(f, "failures {}", now.failures)
    }
}

/// The file `map` of a pool: a line for each 64 blocks of a page, `#` for one that is allocated.
struct Map(Listed);

impl Writer for Map {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WIDTH: u32 = 64;

        for page in self.0.pool().pages() {
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
}

/// A pool's directory, as long as this lives.
pub(crate) struct Registration {
    listed: Listed,
    device: usize,
    // In this order: files before what they are in.
    _statistics: Pin<KBox<File<Statistics>>>,
    _map: Pin<KBox<File<Map>>>,
    _dir: Dir,
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

        let (dir, name, added) = {
            let devices = DEVICES.lock();
            let devices = devices.as_ref().ok_or(ENOENT)?;

            match devices.get(&device) {
                Some(entry) => (entry.dir.clone(), entry.new_pool_name(pool.name())?, None),
                None => {
                    let taken =
                        |name: &CStr| devices.values().any(|entry| equal(&entry.name, name));
                    // SAFETY: The device has a name as long as it has pools.
                    let name =
                        unsafe { string(bindings::dev_name(ptr::from_ref(pool.device()).cast())) };
                    let name = unique(name, taken)?;
                    let entry = Entry::new(root, device, name)?;

                    (
                        entry.dir.clone(),
                        entry.new_pool_name(pool.name())?,
                        Some(entry),
                    )
                }
            }
        };
        let dir = dir.subdir(&name);
        let registration = Self {
            listed,
            device,
            _statistics: KBox::pin_init(
                dir.read_only_file(c"statistics", Statistics(listed)),
                GFP_KERNEL,
            )?,
            _map: KBox::pin_init(dir.read_only_file(c"map", Map(listed)), GFP_KERNEL)?,
            _dir: dir,
        };

        let mut devices = DEVICES.lock();
        let devices = devices.as_mut().ok_or(ENOENT)?;
        if let Some(entry) = added {
            devices.try_create_and_insert(device, entry, GFP_KERNEL)?;
        }
        if let Some(entry) = devices.get_mut(&device) {
            let pool = ptr::from_ref(pool).addr();
            entry
                .pools
                .try_create_and_insert(pool, (listed, name), GFP_KERNEL)?;
        }
        Ok(registration)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _changes = CHANGES.lock();
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
