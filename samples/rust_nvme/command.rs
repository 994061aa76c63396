// SPDX-License-Identifier: GPL-2.0

//! Commands, completions and what the controller says of itself: the formats of the NVM Express
//! base specification.

use kernel::{
    error::code,
    prelude::*, //
};

// All fields are little-endian, and so is every machine for which the kernel supports Rust.
static_assert!(cfg!(target_endian = "little"));

/// Bytes in a page of the controller: what a PRP entry points to.
pub(crate) const PAGE: usize = 4096;

/// Opcodes of admin commands.
pub(crate) mod admin {
    pub(crate) const CREATE_SUBMISSION_QUEUE: u8 = 0x01;
    pub(crate) const CREATE_COMPLETION_QUEUE: u8 = 0x05;
    pub(crate) const IDENTIFY: u8 = 0x06;
    pub(crate) const SET_FEATURES: u8 = 0x09;

    /// What [`IDENTIFY`] is asked about.
    pub(crate) const NAMESPACE: u32 = 0;
    pub(crate) const CONTROLLER: u32 = 1;
    pub(crate) const ACTIVE_NAMESPACES: u32 = 2;

    /// The feature that is the number of queues.
    pub(crate) const NUMBER_OF_QUEUES: u32 = 7;
    /// The memory of a queue is in one piece.
    pub(crate) const CONTIGUOUS: u32 = 1 << 0;
    /// A completion queue raises interrupts.
    pub(crate) const INTERRUPTS: u32 = 1 << 1;
}

/// Opcodes of I/O commands.
pub(crate) mod io {
    pub(crate) const FLUSH: u8 = 0x00;
    pub(crate) const WRITE: u8 = 0x01;
    pub(crate) const READ: u8 = 0x02;
    pub(crate) const WRITE_ZEROES: u8 = 0x08;
    pub(crate) const DATASET_MANAGEMENT: u8 = 0x09;

    /// The data must be on the medium when the command completes.
    pub(crate) const FORCE_UNIT_ACCESS: u32 = 1 << 30;
    /// The blocks need not be allocated any more.
    pub(crate) const DEALLOCATE: u32 = 1 << 2;
}

/// An entry of a submission queue.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes)]
pub(crate) struct Command {
    pub(crate) opcode: u8,
    pub(crate) flags: u8,
    pub(crate) id: u16,
    pub(crate) nsid: u32,
    pub(crate) cdw2: u32,
    pub(crate) cdw3: u32,
    pub(crate) metadata: u64,
    pub(crate) prp1: u64,
    pub(crate) prp2: u64,
    pub(crate) cdw10: u32,
    pub(crate) cdw11: u32,
    pub(crate) cdw12: u32,
    pub(crate) cdw13: u32,
    pub(crate) cdw14: u32,
    pub(crate) cdw15: u32,
}

static_assert!(size_of::<Command>() == 64);

/// An entry of a completion queue.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes)]
pub(crate) struct Completion {
    pub(crate) result: u32,
    pub(crate) reserved: u32,
    pub(crate) sq_head: u16,
    pub(crate) sq_id: u16,
    pub(crate) command_id: u16,
    /// The phase in bit 0, above it the status.
    pub(crate) status: u16,
}

static_assert!(size_of::<Completion>() == 16);

/// How a command ended: the status field of its completion, without the phase.
#[derive(Clone, Copy)]
pub(crate) struct Status(u16);

impl Status {
    pub(crate) fn new(field: u16) -> Self {
        Self(field >> 1)
    }

    pub(crate) fn is_ok(self) -> bool {
        self.0 & 0x7ff == 0
    }

    /// The type of the status code and the code.
    pub(crate) fn raw(self) -> u16 {
        self.0 & 0x7ff
    }

    /// The error that the block layer turns into a status of its own.
    pub(crate) fn to_error(self) -> Error {
        match self.raw() {
            // Invalid opcode.
            0x001 => code::EOPNOTSUPP,
            // Capacity exceeded.
            0x081 => code::ENOSPC,
            // Errors of the medium.
            0x280..=0x2ff => code::ENODATA,
            _ => code::EIO,
        }
    }
}

/// One range of blocks, as [`io::DATASET_MANAGEMENT`] wants them listed.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) blocks: u32,
    pub(crate) first: u64,
}

impl Range {
    /// The two words of its entry in the list: no attributes, the length, and the first block.
    pub(crate) fn words(self) -> [u64; 2] {
        [u64::from(self.blocks) << u32::BITS, self.first]
    }
}

/// What the controller says of itself.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
pub(crate) struct IdentifyController {
    unused0: [u8; 77],
    /// A transfer has 2^this pages at most; 0 means no limit.
    pub(crate) mdts: u8,
    unused1: [u8; 434],
    /// The size of an entry of a submission queue is 2^this: in bits 0 to 3 the least, in the
    /// others the most.
    pub(crate) sqes: u8,
    /// The same for a completion queue.
    pub(crate) cqes: u8,
    unused2: [u8; 2],
    /// The highest number of a namespace.
    pub(crate) namespaces: u32,
    /// Which optional commands there are.
    pub(crate) oncs: u16,
    unused3: [u8; 3],
    /// Whether there is a volatile write cache, in bit 0.
    pub(crate) vwc: u8,
    unused4: [u8; 3570],
}

static_assert!(size_of::<IdentifyController>() == PAGE);

impl IdentifyController {
    pub(crate) const HAS_DATASET_MANAGEMENT: u16 = 1 << 2;
    pub(crate) const HAS_WRITE_ZEROES: u16 = 1 << 3;
}

/// What the controller says of a namespace.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
pub(crate) struct IdentifyNamespace {
    /// In logical blocks.
    pub(crate) size: u64,
    unused0: [u8; 17],
    /// How many formats there are, less one.
    pub(crate) last_format: u8,
    /// Which of the formats it has, in bits 0 to 3 and, above that, 5 and 6.
    pub(crate) format: u8,
    unused1: [u8; 101],
    /// Bits 15 to 0 bytes of metadata, 23 to 16 the logarithm of the block size.
    pub(crate) formats: [u32; 64],
    unused2: [u8; 3712],
}

static_assert!(size_of::<IdentifyNamespace>() == PAGE);

/// The namespaces that there are, in ascending order up to a 0.
pub(crate) type NamespaceList = [u32; NAMESPACES];

/// How many there are in a list, at most.
pub(crate) const NAMESPACES: usize = PAGE / size_of::<u32>();
