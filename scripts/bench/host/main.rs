// SPDX-License-Identifier: GPL-2.0

//! Measures `mm/dmapool.c`, `rust_dmapool` and DPDK's mempools side by side, in user space.
//!
//! Usage: `bench RUNS ROUNDS`

#[cfg(dpdk)]
mod dpdk;
mod thread;
#[path = "../workloads/mod.rs"]
mod workloads;

use kernel::{
    device::Device,
    model,
    prelude::*, //
};
use rust_dmapool::Block;
use workloads::{
    run_all,
    Extent,
    Workload, //
};

/// Runs `w` with what is no DMA pool.
#[cfg(dpdk)]
fn run_peers(w: Workload, rounds: usize, threads: u32) -> Result {
    workloads::measure(|| dpdk::Mempool::new(w, threads), w, rounds, threads)
}

#[cfg(not(dpdk))]
fn run_peers(_w: Workload, _rounds: usize, _threads: u32) -> Result {
    Ok(())
}

fn main() -> Result {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse::<u32>().map_err(|_| EINVAL));
    let mut next = || arguments.next().ok_or(EINVAL)?;
    let cpus = thread::init();
    let extent = Extent {
        runs: next()?,
        rounds: next()?,
        threads: cpus.len() as u32,
    };

    model::set_cpus(extent.threads);
    #[cfg(dpdk)]
    dpdk::init(cpus[0])?;
    run_all(Device::new()?, &extent, run_peers)?;
    pr_info!("block {}\n", size_of::<Block<'_>>());
    pr_info!("done\n");
    Ok(())
}
