#define _GNU_SOURCE /* dladdr */
#include "calls.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void moxieGoLog(uintptr_t handle, int level, char* text); /* log.go */

static void log_line(void* payload, mox_log_level level, const char* text) {
  moxieGoLog((uintptr_t)payload, (int)level, (char*)text);
}

void* moxie_go_allocate(size_t bytes) { return calloc(1, bytes > 0 ? bytes : 1); }

void moxie_go_release(void* memory) { free(memory); }

const char* moxie_go_string(const void* text) { return text; }

void moxie_go_set_log(mox_runtime_options* options, uint64_t handle) {
  options->log = log_line;
  options->log_payload = (void*)(uintptr_t)handle;
}

void moxie_go_set_cpus(mox_runtime_options* options, const void* text) { options->cpus = text; }

void moxie_go_set_packed_cache_path(mox_load_options* options, const void* text) { options->packed_cache_path = text; }

void moxie_go_set_name(mox_adapter_description* description, const void* text) { description->name = text; }

const char* moxie_go_library_path(void) {
  Dl_info info;
  const char* (*const version)(void) = mox_version;
  void* address;
  memcpy(&address, &version, sizeof address); /* ISO C has no cast from a function to data */
  return dladdr(address, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "";
}

static mox_batch batch_of(int64_t rows, const void* input, mox_dtype input_dtype, int64_t input_stride,
                          const void* ranges, size_t range_count, const int64_t* sequence_begins,
                          size_t sequence_count) {
  mox_batch batch;
  mox_batch_init(&batch, sizeof batch);
  batch.rows = rows;
  batch.input = input, batch.input_dtype = input_dtype, batch.input_stride = input_stride;
  batch.ranges = ranges, batch.range_count = range_count;
  batch.sequence_begins = sequence_begins, batch.sequence_count = sequence_count;
  return batch;
}

mox_status moxie_go_run(const mox_feed_forward* feed_forward, int64_t rows, const void* input, mox_dtype input_dtype,
                        int64_t input_stride, void* output, mox_dtype output_dtype, int64_t output_stride,
                        const void* ranges, size_t range_count, const int64_t* sequence_begins, size_t sequence_count,
                        const mox_routing* plan, mox_routing** routing, mox_error* error) {
  mox_batch batch =
      batch_of(rows, input, input_dtype, input_stride, ranges, range_count, sequence_begins, sequence_count);
  batch.output = output, batch.output_dtype = output_dtype, batch.output_stride = output_stride;
  return mox_feed_forward_run(feed_forward, &batch, plan, routing, error);
}

mox_status moxie_go_route(const mox_feed_forward* feed_forward, int64_t rows, const void* input, mox_dtype input_dtype,
                          int64_t input_stride, const void* ranges, size_t range_count, const int64_t* sequence_begins,
                          size_t sequence_count, mox_routing** routing, mox_error* error) {
  const mox_batch batch =
      batch_of(rows, input, input_dtype, input_stride, ranges, range_count, sequence_begins, sequence_count);
  return mox_feed_forward_route(feed_forward, &batch, routing, error);
}

mox_status moxie_go_step(const mox_model* model, const void* steps, size_t step_count, const int32_t* tokens,
                         float* logits, int64_t vocabulary, mox_routing** routing, mox_error* error) {
  enum { FEW = 64 }; /* more than that may pay for an allocation */
  mox_step few[FEW];
  mox_step* laid_out = step_count <= FEW ? few : malloc(step_count * sizeof *laid_out);
  if (laid_out == NULL) {
    if (error != NULL) {
      error->status = MOX_OUT_OF_MEMORY;
      strcpy(error->message, "no memory for the list of steps");
    }
    return MOX_OUT_OF_MEMORY;
  }
  if (step_count > 0) memcpy(laid_out, steps, step_count * sizeof *laid_out);
  for (size_t i = 0; i < step_count; ++i) {
    laid_out[i].tokens = tokens;
    tokens += laid_out[i].token_count;
    if (laid_out[i].logits_rows > 0) {
      laid_out[i].logits = logits;
      logits += laid_out[i].logits_rows * vocabulary;
    }
  }
  const mox_status status = mox_model_step(model, laid_out, step_count, routing, error);
  if (laid_out != few) free(laid_out);
  return status;
}
