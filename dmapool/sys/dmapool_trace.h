/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The tracepoints of pools. What calls them is dmapool/allocator/trace.rs.
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM rust_dmapool

#if !defined(_RUST_DMAPOOL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RUST_DMAPOOL_TRACE_H

#include <linux/device.h>
#include <linux/tracepoint.h>
#include <trace/events/mmflags.h>

#include "dmapool_debug.h"

/*
 * What all events have: the device and the pool, how many bytes it is about, those of
 * a block or a page, and who has called this module. The name of a pool can be
 * anything, so it comes last.
 */
#define POOL_PROTO struct device *dev, const char *pool, size_t size
#define POOL_ARGS dev, pool, size
#define POOL_ENTRY __string(device, dev_name(dev)) __string(pool, pool) \
	__field(size_t, size) __field(void *, caller)
#define POOL_ASSIGN __assign_str(device); __assign_str(pool); \
	__entry->size = size; __entry->caller = rust_dmapool_caller()
#define POOL_PRINTK(format, ...) \
	TP_printk("device=%s size=%zu " format " caller=%pS pool=%s", __get_str(device), \
		  __entry->size, __VA_ARGS__, __entry->caller, __get_str(pool))

/* A pool begins or ends; how many blocks are allocated then. */
DECLARE_EVENT_CLASS(rust_dmapool_pool,
	TP_PROTO(POOL_PROTO, size_t page, u64 live), TP_ARGS(POOL_ARGS, page, live),
	TP_STRUCT__entry(POOL_ENTRY __field(size_t, page) __field(u64, live)),
	TP_fast_assign(POOL_ASSIGN; __entry->page = page; __entry->live = live;),
	POOL_PRINTK("page=%zu live=%llu", __entry->page, __entry->live));
DEFINE_EVENT(rust_dmapool_pool, rust_dmapool_create,
	TP_PROTO(POOL_PROTO, size_t page, u64 live), TP_ARGS(POOL_ARGS, page, live));
DEFINE_EVENT(rust_dmapool_pool, rust_dmapool_destroy,
	TP_PROTO(POOL_PROTO, size_t page, u64 live), TP_ARGS(POOL_ARGS, page, live));

/* A block is freed, or a page given back. */
#define MEMORY_PROTO POOL_PROTO, void *address, dma_addr_t dma
#define MEMORY_ARGS POOL_ARGS, address, dma
#define MEMORY_ENTRY POOL_ENTRY __field(void *, address) __field(u64, dma)
#define MEMORY_ASSIGN POOL_ASSIGN; __entry->address = address; __entry->dma = dma
#define MEMORY_PRINTK(format, ...) \
	POOL_PRINTK("address=%p dma=%#llx" format, __entry->address, __entry->dma, ##__VA_ARGS__)

DECLARE_EVENT_CLASS(rust_dmapool_memory,
	TP_PROTO(MEMORY_PROTO), TP_ARGS(MEMORY_ARGS), TP_STRUCT__entry(MEMORY_ENTRY),
	TP_fast_assign(MEMORY_ASSIGN;), MEMORY_PRINTK(""));
DEFINE_EVENT(rust_dmapool_memory, rust_dmapool_free,
	TP_PROTO(MEMORY_PROTO), TP_ARGS(MEMORY_ARGS));
DEFINE_EVENT(rust_dmapool_memory, rust_dmapool_shrink,
	TP_PROTO(MEMORY_PROTO), TP_ARGS(MEMORY_ARGS));

/* A block is allocated. */
TRACE_EVENT(rust_dmapool_alloc,
	TP_PROTO(MEMORY_PROTO, gfp_t flags), TP_ARGS(MEMORY_ARGS, flags),
	TP_STRUCT__entry(MEMORY_ENTRY __field(gfp_t, flags)),
	TP_fast_assign(MEMORY_ASSIGN; __entry->flags = flags;),
	MEMORY_PRINTK(" flags=%s", show_gfp_flags(__entry->flags)));

/* A page is added; why is a Why of dmapool/allocator/grow.rs. */
TRACE_EVENT(rust_dmapool_grow,
	TP_PROTO(MEMORY_PROTO, gfp_t flags, u32 why), TP_ARGS(MEMORY_ARGS, flags, why),
	TP_STRUCT__entry(MEMORY_ENTRY __field(gfp_t, flags) __field(u32, why)),
	TP_fast_assign(MEMORY_ASSIGN; __entry->flags = flags; __entry->why = why;),
	MEMORY_PRINTK(" flags=%s why=%s", show_gfp_flags(__entry->flags),
		      __print_symbolic(__entry->why, { 0, "need" }, { 1, "cpu" }, { 2, "ahead" },
				       { 3, "prefill" }, { 4, "reserve" })));

/* There is no block to be had. */
TRACE_EVENT(rust_dmapool_fail,
	TP_PROTO(POOL_PROTO, gfp_t flags), TP_ARGS(POOL_ARGS, flags),
	TP_STRUCT__entry(POOL_ENTRY __field(gfp_t, flags)),
	TP_fast_assign(POOL_ASSIGN; __entry->flags = flags;),
	POOL_PRINTK("flags=%s", show_gfp_flags(__entry->flags)));

/* A free is refused; the reason is a BadFree of dmapool/allocator/free.rs. */
TRACE_EVENT(rust_dmapool_bad_free,
	TP_PROTO(MEMORY_PROTO, u32 reason), TP_ARGS(MEMORY_ARGS, reason),
	TP_STRUCT__entry(MEMORY_ENTRY __field(u32, reason)),
	TP_fast_assign(MEMORY_ASSIGN; __entry->reason = reason;),
	MEMORY_PRINTK(" reason=%s",
		      __print_symbolic(__entry->reason, { 0, "foreign" }, { 1, "mismatch" },
				       { 2, "inside" }, { 3, "already_free" })));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE dmapool_trace
#include <trace/define_trace.h>
