// SPDX-License-Identifier: GPL-2.0

//! The allocator: pools of blocks in bytes, without the types of the public face.
//!
//! The lowest layer first. A file uses only those before it, but for links in comments:
//!
//! | file | owns |
//! | --- | --- |
//! | `word.rs` | one word of a bitmap and its atomic operations |
//! | `geometry.rs` | how blocks lie in a page: arithmetic |
//! | `state.rs` | what a driver has beside each block |
//! | `options.rs` | what a pool can be given beyond its geometry |
//! | `policy.rs` | what is to be done with all blocks: filled, looked at, noted |
//! | `token_count.rs` | what makes a token or an address good once |
//! | `owner.rs` | what is noted of the owner of a block |
//! | `layout.rs` | which bit of a slab stands for which block, and how a slab lies in memory |
//! | `slab.rs` | a few pages, and the record that says which of their blocks are free |
//! | `page.rs` | the pages of a slab: vacant, with memory, with blocks |
//! | `chunk.rs` | up to 64 slabs, and which of them are announced |
//! | `cpu.rs` | the slab that each CPU works on |
//! | `map.rs` | from a number to a page of a slab |
//! | `quarantine.rs` | blocks that wait after they were freed |
//! | `page_count.rs` | how many pages a pool has, and may have |
//! | `pool.rs` | what a pool consists of, and its end |
//! | `trace.rs` | the tracepoints |
//! | `publish.rs` | how a free block comes to be found |
//! | `free.rs` | an allocated block, and how it is freed, by its owner or by its addresses |
//! | `fill.rs` | writing it, and who wrote to free blocks |
//! | `track.rs` | who has which blocks |
//! | `statistics.rs` | what a pool knows of itself |
//! | `memory.rs` | obtaining the memory of a page, and a look at where it lies |
//! | `grow.rs` | when a pool gets another page |
//! | `shrink.rs` | giving pages back |
//! | `alloc.rs` | allocating a block |
//! | `tokens.rs` | blocks without an owner for a while |

mod alloc;
mod chunk;
mod cpu;
pub(crate) mod fill;
pub(crate) mod free;
pub(crate) mod geometry;
mod grow;
mod layout;
pub(crate) mod map;
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod owner;
mod page;
mod page_count;
pub(crate) mod policy;
pub(crate) mod pool;
mod publish;
mod quarantine;
mod shrink;
pub(crate) mod slab;
pub(crate) mod state;
pub(crate) mod statistics;
mod token_count;
pub(crate) mod tokens;
pub(crate) mod trace;
pub(crate) mod track;
pub(crate) mod word;
