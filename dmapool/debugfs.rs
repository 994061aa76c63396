// SPDX-License-Identifier: GPL-2.0

//! What pools there are: a list, and a directory for each device in
//! `/sys/kernel/debug/rust_dmapool` with one for each of its pools. What the files show is in
//! `debugfs_show.rs`.
//!
//! C's attribute `pools` in sysfs is left alone: it is the C core's, and no pool of that core could
//! be made for a device on which somebody else has created it.

use crate::{
    c_string::{
        self,
        chars,
        equal, //
    },
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
/// What debugfs returned for a directory. It may be an error, which debugfs accepts as well.
struct Dir(*mut c_void);

// SAFETY: Any thread may call debugfs.
unsafe impl Send for Dir {}
// SAFETY: As above.
unsafe impl Sync for Dir {}

impl Drop for Dir {
    fn drop(&mut self) {
        // Removal waits for whoever opens a file, who takes this lock: it must not be held here.
        // This lets lockdep report a caller that does.
        #[cfg(CONFIG_PROVE_LOCKING)]
        drop(LISTS.lock());
        // SAFETY: By the type invariants, and it is not used after this.
        unsafe { rust_dmapool_debugfs_remove(self.0) };
    }
}

/// A pool in the list. Files know it by its number only.
///
/// # Invariants
///
/// The pool lives until its [`Registration`] takes it off the list.
struct Listed {
    pool: NonNull<RawPool<'static>>,
    device: usize,
    name: CString,
    _dir: Dir,
}

// SAFETY: Any thread may use a pool.
unsafe impl Send for Listed {}
// SAFETY: As above.
unsafe impl Sync for Listed {}

impl Listed {
    fn pool(&self) -> &RawPool<'static> {
        // SAFETY: By the type invariants the pool lives while it is in the list, and whoever looks
        // at the list holds its lock.
        unsafe { self.pool.as_ref() }
    }
}

/// A device, while it has pools.
struct ListedDevice {
    name: CString,
    dir: Dir,
    /// How many pools it has.
    pools: usize,
    /// What to append to the next name that exists already.
    suffix: u32,
}

impl ListedDevice {
    fn new(root: &Dir, device: usize, name: CString) -> Self {
        // SAFETY: `root` is a directory. The file only uses the device's address.
        // INVARIANT: This is what debugfs returned.
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

/// All pools, and their devices.
struct Lists {
    /// By address.
    devices: RBTree<usize, ListedDevice>,
    /// By number.
    pools: RBTree<usize, Listed>,
    /// The number of the last pool. No number is used twice, because a file may be open for long.
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
    // SAFETY: Initialized in `init`, before any other use.
    unsafe(uninit) static LISTS: Mutex<Option<Lists>> = None;
}

/// Makes the directory of the module.
///
/// # Safety
///
/// To be called once, before anything else here.
pub(crate) unsafe fn init() {
    // SAFETY: This function is called once, and first.
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
    // INVARIANT: This is what debugfs returned.
    let dir = Dir(unsafe { rust_dmapool_debugfs_dir(c"rust_dmapool".as_char_ptr(), null_mut()) });
    *CHANGES.lock() = Some(dir);
}

/// Removes the directory of the module. There are no pools any more.
pub(crate) fn exit() {
    *CHANGES.lock() = None;
}

/// The most bytes in the name of a file.
const NAME_MAX: usize = bindings::NAME_MAX as usize;

/// The longest suffix.
const LONGEST_SUFFIX: &str = "-4294967295";

/// A name as that of a directory, with room for a suffix. In place of what a name cannot have, and
/// of what would not be seen in a listing, it has `_`: for a `/`, a control character, a dot at the
/// beginning, and for no name at all.
struct DirName<'a>(&'a CStr);

impl fmt::Display for DirName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = NAME_MAX - LONGEST_SUFFIX.len();
        let mut is_first = true;

        for c in chars(self.0) {
            let hides = c == '.' && is_first;
            let c = if hides || c == '/' || c.is_control() {
                '_'
            } else {
                c
            };

            let Some(left) = room.checked_sub(c.len_utf8()) else {
                break;
            };
            f.write_char(c)?;
            room = left;
            is_first = false;
        }
        if is_first {
            f.write_char('_')?;
        }
        Ok(())
    }
}

/// `name` for a directory that does not exist yet, as `exists` says: with `suffix`, or a later one,
/// if it must have one.
fn unique(name: &CStr, suffix: &mut u32, exists: impl Fn(&CStr) -> bool) -> Result<CString> {
    let name = DirName(name);
    let mut unique = CString::try_from_fmt(fmt!("{name}"))?;

    while exists(&unique) {
        let number = *suffix;

        unique = CString::try_from_fmt(fmt!("{name}-{number}"))?;
        *suffix = number.checked_add(1).ok_or(EOVERFLOW)?;
    }
    Ok(unique)
}

/// Calls `f` with the pool that has this number.
///
/// # Errors
///
/// [`ENODEV`] if it is gone.
pub(crate) fn with_pool<R>(number: usize, f: impl FnOnce(&RawPool<'_>) -> R) -> Result<R> {
    let lists = LISTS.lock();
    let listed = lists.as_ref().and_then(|lists| lists.pools.get(&number));

    Ok(f(listed.ok_or(ENODEV)?.pool()))
}

/// Calls `f` with each pool of the device at this address, in the order in which they were made.
///
/// # Errors
///
/// The first one of `f`.
pub(crate) fn for_each_pool_of<E>(
    device: usize,
    mut f: impl FnMut(&RawPool<'_>) -> Result<(), E>,
) -> Result<(), E> {
    LISTS
        .lock()
        .iter()
        .flat_map(|lists| lists.pools.values())
        .filter(|listed| listed.device == device)
        .try_for_each(|listed| f(listed.pool()))
}

/// A pool is listed, and has a directory, as long as this lives and has not been ended.
pub(crate) struct Registration {
    number: usize,
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
    /// `pool` must live, and not move, until the result is dropped or ended.
    pub(crate) unsafe fn new(pool: &RawPool<'_>) -> Result<Self> {
        let changes = CHANGES.lock();
        let root = changes.as_ref().ok_or(ENOENT)?;
        let device = ptr::from_ref(pool.dev).addr();

        let (number, parent, name, new) = {
            let mut lists = LISTS.lock();
            let lists = lists.as_mut().ok_or(ENOENT)?;
            let name = lists.new_pool_name(device, &pool.name)?;

            lists.last = lists.last.wrapping_add(1);
            match lists.devices.get(&device) {
                Some(listed) => (lists.last, listed.dir.0, name, None),
                None => {
                    let new = lists.new_device_name(device_name(pool))?;

                    (lists.last, null_mut(), name, Some(new))
                }
            }
        };
        // A directory is made without the lock, because it is removed again if anything fails from
        // here on, and removing it waits for those who open a file.
        let added = new.map(|device_name| ListedDevice::new(root, device, device_name));
        let parent = added.as_ref().map_or(parent, |listed| listed.dir.0);

        // All that can fail comes before anything is listed: taking it off again needs the locks.
        let added = match added {
            Some(listed) => Some(RBTreeNode::new(device, listed, GFP_KERNEL)?),
            None => None,
        };
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;

        // SAFETY: The parent stays, because only a holder of `CHANGES` removes it. The files only
        // use the number.
        // INVARIANT: This is what debugfs returned.
        let dir = Dir(unsafe {
            rust_dmapool_debugfs_pool(
                name.as_char_ptr(),
                parent,
                ptr::without_provenance_mut(number),
            )
        });
        let mut lists = LISTS.lock();
        if let Some(lists) = lists.as_mut() {
            if let Some(listed) = added {
                lists.devices.insert(listed);
            }
            if let Some(listed) = lists.devices.get_mut(&device) {
                listed.pools = listed.pools.wrapping_add(1);
            }
            // INVARIANT: The caller vouches for the pool.
            let listed = Listed {
                pool: NonNull::from(pool).cast(),
                device,
                name,
                _dir: dir,
            };
            lists.pools.insert(node.into_node(number, listed));
        }
        Ok(Self { number })
    }

    /// Takes the pool off the list, if it is still there. Process context; may sleep.
    pub(crate) fn end(&self) {
        let _changes = CHANGES.lock();

        // From now on no reader finds the pool. Its directory goes before that of the device, which
        // would take it along.
        if let Some((pool, device)) = self.unlist() {
            drop(pool);
            drop(device);
        }
    }

    /// Takes the pool off the list, and the device with it if it has no other pool. Their
    /// directories are removed when they are dropped, without the lock.
    fn unlist(&self) -> Option<(Listed, Option<ListedDevice>)> {
        let mut lists = LISTS.lock();
        let lists = lists.as_mut()?;
        let pool = lists.pools.remove(&self.number)?;
        let device = lists.devices.get_mut(&pool.device)?;

        device.pools = device.pools.wrapping_sub(1);
        let last = device.pools == 0;
        let device = last.then(|| lists.devices.remove(&pool.device)).flatten();
        Some((pool, device))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a pool's device is called, if it is called anything.
pub(crate) fn device_name<'a>(pool: &'a RawPool<'_>) -> &'a CStr {
    // SAFETY: The device lives as long as its pools, and its name, if not null, is a string that
    // lives as long.
    unsafe {
        let name = bindings::dev_name(ptr::from_ref(pool.dev).cast());

        if name.is_null() {
            c"unnamed"
        } else {
            c_string::from_char_ptr(name)
        }
    }
}
