// SPDX-License-Identifier: GPL-2.0

/*
 * The tracepoints, and functions by which Rust calls them.
 */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "dmapool_trace.h"

/* Allocating and freeing are compiled into the users of this module. */
EXPORT_TRACEPOINT_SYMBOL_GPL(rust_dmapool_alloc);
EXPORT_TRACEPOINT_SYMBOL_GPL(rust_dmapool_free);
