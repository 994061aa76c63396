// SPDX-License-Identifier: GPL-2.0

/*
 * Exports the crate's Rust symbols to the modules that use it.
 *
 * The list is made when building, as for nova-core in drivers/gpu/Makefile, until the build system
 * knows of Rust crates that depend on each other.
 */

#include <linux/export.h>

#include "exports_generated.h"
