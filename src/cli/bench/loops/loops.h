// Loops that reach the limits of a machine: what it can multiply, and what it can read.
//
// One file for each instruction set, compiled with its own flags. Such a file includes nothing that holds inline
// functions of ordinary code: the linker keeps one copy of those, and it could be one this machine cannot run.
#pragma once

#include <cstdint>

#include "moxie/runtime.h"
#include "moxie/types.h"

namespace moxie::cli::bench {

// Products of one instruction set, blocked as kernels block them: a few rows of activations against a few registers of
// weights, sums in registers.
struct Multiplier {
  const char* name;  // "avx512 fma"
  mox_isa isa;       // it needs
  mox_dtype weights;
  double step_operations;    // of one step of k; a product and its addition are two
  int64_t activation_bytes;  // one step reads
  int64_t weight_bytes;      // one step reads
  // Operands stay in registers.
  void (*in_registers)(int64_t steps);
  // Operands are read, each step behind the one before it.
  void (*from_memory)(const void* activations, const void* weights, int64_t steps);
};

constexpr int kStreams[] = {1, 2, 4, 8};
constexpr int kStreamCounts = 4;
constexpr int64_t kReadStep = 256;  // bytes

// Reads from + i * distance .. + bytes for i = 0 .. streams - 1 side by side; bytes: a multiple of kReadStep.
using Reader = void (*)(const char* from, int64_t distance, int64_t bytes);

// Of one width of load.
struct Readers {
  mox_isa isa;                        // they need
  Reader plain[kStreamCounts];        // the machine's own prefetching alone
  Reader prefetching[kStreamCounts];  // each load asks for what lies further on
};

namespace loops {
extern const Multiplier sse2, avx2, avx512, avx512_bf16, amx;
extern const Readers sse2_readers, avx2_readers, avx512_readers;
}  // namespace loops

}  // namespace moxie::cli::bench
