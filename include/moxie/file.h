/* Looking at checkpoints, adapters and tensor files without loading them. */
#ifndef MOXIE_FILE_H
#define MOXIE_FILE_H

#include "moxie/status.h"
#include "moxie/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A checkpoint folder, an adapter folder, or one .safetensors or torch archive file. Any number of
 * threads may read it at once. */
typedef struct mox_file mox_file;

typedef enum mox_file_kind {
  MOX_FILE_TENSORS = 0,    /* a single tensor file */
  MOX_FILE_CHECKPOINT = 1, /* a base model */
  MOX_FILE_ADAPTER = 2
} mox_file_kind;

typedef struct mox_file_info {
  size_t struct_size;
  mox_file_kind kind;
  char family[32]; /* checkpoint: "llama", ...; adapter: "mixlora", "lora", ...; else "" */
  char format[64]; /* "Hugging Face", "mistral consolidated", "MoE-PEFT", "PEFT", "safetensors", "torch archive",
                      "packed cache" */
  int64_t tensors;
  int64_t parameters;
  int64_t bytes;
  int64_t problems; /* what loading it would refuse; see mox_file_problem */
} mox_file_info;

/* Fails only where nothing can be said (no such path, unreadable tensor file); what is wrong with
 * a configuration is listed as problems instead. */
MOX_API mox_status mox_file_open(const char* path, mox_file** file, mox_error* error);

/* NULL is allowed. */
MOX_API void mox_file_free(mox_file* file);

/* info->struct_size must be set by the caller. */
MOX_API mox_status mox_file_describe(const mox_file* file, mox_file_info* info, mox_error* error);

/* Why it would be refused, as loading would say it; problem 0 .. problems - 1. The string lives
 * as long as the file. */
MOX_API mox_status mox_file_problem(const mox_file* file, int64_t problem, const char** text, mox_error* error);

/* Settings worth showing ("hidden" = "192", "rank" = "8"), in a fixed order; MOX_NOT_FOUND past
 * the end. Strings live as long as the file. */
MOX_API mox_status mox_file_setting(const mox_file* file, int64_t index, const char** name, const char** value,
                                    mox_error* error);

enum { MOX_MAX_DIMENSIONS = 8 };

typedef struct mox_tensor_info {
  size_t struct_size;
  const char* name; /* lives as long as the file */
  const char* file; /* file it is stored in, relative to the folder */
  mox_dtype dtype;
  int32_t dimensions;
  int64_t shape[MOX_MAX_DIMENSIONS];
  int64_t bytes;
} mox_tensor_info;

/* Tensor 0 .. tensors - 1, sorted by name. info->struct_size must be set by the caller. */
MOX_API mox_status mox_file_tensor(const mox_file* file, int64_t index, mox_tensor_info* info, mox_error* error);

/* MOX_NOT_FOUND where there is none of that name. */
MOX_API mox_status mox_file_find_tensor(const mox_file* file, const char* name, int64_t* index, mox_error* error);

/* Copies a tensor's bytes as stored (contiguous, row by row); `size` must be its bytes. */
MOX_API mox_status mox_file_read_tensor(const mox_file* file, int64_t index, void* destination, size_t size,
                                        mox_error* error);

#ifdef __cplusplus
}
#endif

#endif
