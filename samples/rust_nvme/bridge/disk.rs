// SPDX-License-Identifier: GPL-2.0

//! A disk: as `GenDisk` of the kernel crate, with limits, a module that owns it and a parent.

use super::device;
use crate::LocalModule;
use core::ffi::c_void;
use kernel::{
    bindings,
    block::mq::{
        Operations,
        TagSet, //
    },
    device::{
        Bound,
        Device, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    fmt::{
        self,
        Write, //
    },
    module::this_module,
    prelude::*,
    static_lock_class,
    str::NullTerminatedFormatter,
    sync::{
        rcu::synchronize_rcu,
        Arc, //
    },
    types::{
        ForeignOwnable,
        ScopeGuard, //
    }, //
};

// `bridge.c`
extern "C" {
    static rust_nvme_feat_write_cache: u32;
}

/// What requests a disk can serve. Lengths are in sectors of 512 bytes; 0 means not at all.
pub(crate) struct Limits {
    /// Bytes in a logical block.
    pub(crate) block_size: u32,
    pub(crate) max_sectors: u32,
    pub(crate) max_segments: u16,
    /// Only the first piece of a request's data may begin, and only the last one end, where one
    /// of these bits of the address is set.
    pub(crate) virt_boundary_mask: usize,
    /// No data begins where one of these bits of the address is set.
    pub(crate) dma_alignment: u32,
    /// There are requests to flush a cache, and to write around it.
    pub(crate) has_write_cache: bool,
    pub(crate) max_discard_sectors: u32,
    pub(crate) max_write_zeroes_sectors: u32,
}

impl Limits {
    fn to_raw(&self) -> bindings::queue_limits {
        bindings::queue_limits {
            features: if self.has_write_cache {
                // SAFETY: A constant.
                unsafe { rust_nvme_feat_write_cache }
            } else {
                0
            },
            logical_block_size: self.block_size,
            physical_block_size: self.block_size,
            max_hw_sectors: self.max_sectors,
            max_segments: self.max_segments,
            virt_boundary_mask: self.virt_boundary_mask,
            dma_alignment: self.dma_alignment,
            max_hw_discard_sectors: self.max_discard_sectors,
            max_discard_segments: 1,
            max_write_zeroes_sectors: self.max_write_zeroes_sectors,
            ..pin_init::zeroed()
        }
    }
}

/// The operations on disks: none, but this module stays as long as one is open.
#[repr(transparent)]
struct FileOperations(bindings::block_device_operations);

// SAFETY: Never written to.
unsafe impl Sync for FileOperations {}

static FILE_OPERATIONS: FileOperations = FileOperations(bindings::block_device_operations {
    owner: this_module::<LocalModule>().as_ptr(),
    ..pin_init::zeroed()
});

/// A disk that the system knows of, until this is dropped. That waits for its requests.
///
/// # Invariants
///
/// `disk` was allocated for `tags` and added; its queue's data came from
/// `T::QueueData::into_foreign()`.
pub(crate) struct Disk<T: Operations> {
    disk: *mut bindings::gendisk,
    _tags: Arc<TagSet<T>>,
}

// SAFETY: A disk belongs to no thread, and its data is shared between threads as it is.
unsafe impl<T: Operations> Send for Disk<T> where T::QueueData: Send {}

impl<T: Operations> Disk<T> {
    /// Process context; may sleep, and reads the partition table.
    pub(crate) fn new(
        parent: &Device<Bound>,
        name: fmt::Arguments<'_>,
        sectors: u64,
        limits: &Limits,
        tags: Arc<TagSet<T>>,
        data: T::QueueData,
    ) -> Result<Self> {
        let mut limits = limits.to_raw();
        let data = data.into_foreign();
        // SAFETY: On the ways out on which this is run, the queue is gone or was never made, and
        // the pointer comes from above.
        let data_guard = ScopeGuard::new(move || unsafe { drop_queue_data::<T>(data) });

        // SAFETY: The tag set is initialized, and this keeps it as long as the disk; `TagSet` is
        // a transparent wrapper.
        let disk = from_err_ptr(unsafe {
            bindings::__blk_mq_alloc_disk(
                Arc::as_ptr(&tags).cast_mut().cast(),
                &mut limits,
                data,
                static_lock_class!().as_ptr(),
            )
        })?;
        // SAFETY: The disk was allocated and not added, so nobody else has it.
        let disk_guard = ScopeGuard::new(move || unsafe { bindings::put_disk(disk) });

        // SAFETY: As above.
        let disk_name = unsafe { &mut (*disk).disk_name };
        NullTerminatedFormatter::new(disk_name)
            .ok_or(EINVAL)?
            .write_fmt(name)?;
        // SAFETY: As above. The operations are there as long as this module is, which they keep.
        unsafe {
            (*disk).fops = &FILE_OPERATIONS.0;
            bindings::set_capacity(disk, sectors);
        }
        // SAFETY: The disk is complete, and the device valid.
        to_result(unsafe {
            bindings::device_add_disk(device::as_raw(parent), disk, core::ptr::null_mut())
        })?;

        disk_guard.dismiss();
        data_guard.dismiss();
        // INVARIANT: All of it was done above.
        Ok(Self { disk, _tags: tags })
    }
}

impl<T: Operations> Drop for Disk<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the disk was added, and this is its only owner. After
        // `del_gendisk()` there are no requests, nor will there be.
        unsafe {
            let data = (*(*self.disk).queue).queuedata;

            bindings::del_gendisk(self.disk);
            bindings::put_disk(self.disk);
            drop_queue_data::<T>(data);
        }
    }
}

/// A thread can still be in `queue_rq()` or `commit_rqs()` when the last request has ended: the
/// device was quick. Nothing but RCU waits for these. On its way `del_gendisk()` does so in 7.3,
/// where it takes the I/O scheduler away; but it does not promise that.
///
/// # Safety
///
/// `data` is that of a queue, which does not get requests any more, and is dropped once. Its tag
/// set is not one whose operations may sleep.
unsafe fn drop_queue_data<T: Operations>(data: *mut c_void) {
    synchronize_rcu();
    // SAFETY: The caller's promise, and that nobody borrows it any more.
    drop(unsafe { T::QueueData::from_foreign(data) });
}
