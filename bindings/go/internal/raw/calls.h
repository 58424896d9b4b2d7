/* What cannot be had from the C headers alone, because a struct in C memory must not point at Go
 * memory, while an argument of a call may: calls whose large arrays are arguments. */
#ifndef MOXIE_GO_CALLS_H
#define MOXIE_GO_CALLS_H

#include <moxie/moxie.h>
#include <stdint.h>

/* Memory that structs may point at; zeroed. NULL when there is none. */
void* moxie_go_allocate(size_t bytes);
void moxie_go_release(void* memory);

/* A string somebody else keeps. */
const char* moxie_go_string(const void* text);

/* Lines of this runtime go to the callback registered under `handle`. */
void moxie_go_set_log(mox_runtime_options* options, uint64_t handle);

/* Fields that are strings; the memory stays the caller's. */
void moxie_go_set_cpus(mox_runtime_options* options, const void* text);
void moxie_go_set_packed_cache_path(mox_load_options* options, const void* text);
void moxie_go_set_name(mox_adapter_description* description, const void* text);

/* The file that the library was loaded from; "" where the system does not say. */
const char* moxie_go_library_path(void);

/* mox_feed_forward_run, the batch's fields as arguments. */
mox_status moxie_go_run(const mox_feed_forward* feed_forward, int64_t rows, const void* input, mox_dtype input_dtype,
                        int64_t input_stride, void* output, mox_dtype output_dtype, int64_t output_stride,
                        const void* ranges, size_t range_count, const int64_t* sequence_begins, size_t sequence_count,
                        const mox_routing* plan, mox_routing** routing, mox_error* error);

/* mox_feed_forward_route, likewise. */
mox_status moxie_go_route(const mox_feed_forward* feed_forward, int64_t rows, const void* input, mox_dtype input_dtype,
                          int64_t input_stride, const void* ranges, size_t range_count, const int64_t* sequence_begins,
                          size_t sequence_count, mox_routing** routing, mox_error* error);

/* mox_model_step: in each of `steps`, tokens and logits are NULL; they lie one after another in
 * `tokens` and, with rows of `vocabulary` elements, in `logits`. */
mox_status moxie_go_step(const mox_model* model, const void* steps, size_t step_count, const int32_t* tokens,
                         float* logits, int64_t vocabulary, mox_routing** routing, mox_error* error);

#endif
