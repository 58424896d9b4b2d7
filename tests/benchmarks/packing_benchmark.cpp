// Packing beside memcpy of as many bytes as are written, on the same threads in the same run: compare only those.
// "fresh" memory is mapped anew for each iteration, so that the system's clearing of pages counts, as in loading.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/packed_matrix.h"
#include "kernels/packing.h"
#include "runtime/dtype.h"
#include "runtime/huge_memory.h"

namespace {

using namespace moxie;
using kernels::PackedMatrix;
using kernels::panel_width;

constexpr int64_t n = 14336, k = 4096;
constexpr int64_t rows_per_task = panel_width;

// What every benchmark reads: finite numbers in any of the three types, close enough to each other to be held compact.
std::byte* source() {
  static const std::shared_ptr<std::byte> memory = [] {
    auto filled = huge_memory(n * k * 4);
    for (int64_t i = 0; i < n * k * 2; ++i) {
      const auto bits = static_cast<uint16_t>(0x3a00 + i * 7919 % 0x200);
      std::memcpy(filled.get() + i * 2, &bits, 2);
    }
    return filled;
  }();
  return memory.get();
}

struct Share {
  int64_t begin, end;
};
Share share_of(const benchmark::State& state) {
  const int64_t panels = n / panel_width, index = state.thread_index(), threads = state.threads();
  return {panels * index / threads * panel_width, panels * (index + 1) / threads * panel_width};
}

void count_bytes(benchmark::State& state, DType dtype) {
  const Share share = share_of(state);
  state.SetBytesProcessed(state.iterations() * (share.end - share.begin) * k *
                          static_cast<int64_t>(element_size(dtype)));
}

// Each thread has a matrix of its own, as large as its share.
void pack(benchmark::State& state, DType from, DType to, kernels::Storage storage, bool fresh) {
  const Share share = share_of(state);
  const int64_t rows = share.end - share.begin;
  auto matrix = std::make_unique<PackedMatrix>(to, rows, k, storage);
  const std::byte* rows_begin = source() + static_cast<size_t>(share.begin * k) * element_size(from);
  for (auto _ : state) {
    if (fresh) matrix = std::make_unique<PackedMatrix>(to, rows, k, storage);
    for (int64_t row = 0; row < rows; row += rows_per_task) {
      matrix->pack_rows(row, rows_per_task, rows_begin + static_cast<size_t>(row * k) * element_size(from), from, k);
    }
    benchmark::ClobberMemory();
  }
  count_bytes(state, to);
}

void copy(benchmark::State& state, DType dtype, bool fresh) {
  const Share share = share_of(state);
  const size_t bytes = static_cast<size_t>((share.end - share.begin) * k) * element_size(dtype);
  std::shared_ptr<std::byte> memory = huge_memory(bytes);
  const std::byte* begin = source() + static_cast<size_t>(share.begin * k) * element_size(dtype);
  for (auto _ : state) {
    if (fresh) memory = huge_memory(bytes);
    std::memcpy(memory.get(), begin, bytes);
    benchmark::ClobberMemory();
  }
  count_bytes(state, dtype);
}

// One variant at work on a piece that stays in the nearest cache.
void transpose(benchmark::State& state, const kernels::Packing* packing, DType from, DType to) {
  constexpr int64_t words = 64;
  alignas(64) static thread_local uint32_t result[words * panel_width];
  kernels::RowsToPack piece;
  piece.source = source();
  piece.rows = panel_width;
  piece.source_dtype = from;
  piece.dtype = to;
  piece.bytes = words * (to == MOX_F32 ? 1 : 2) * static_cast<int64_t>(element_size(from));
  piece.row_bytes = piece.bytes;
  for (auto _ : state) {
    packing->transpose_rows(piece, result);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * words * panel_width * 4);
}

void register_all() {
  struct Case {
    const char* name;
    DType from, to;
  };
  const Case cases[] = {{"bf16_bf16", MOX_BF16, MOX_BF16}, {"f32_f32", MOX_F32, MOX_F32},
                        {"f32_bf16", MOX_F32, MOX_BF16},   {"f16_f32", MOX_F16, MOX_F32},
                        {"bf16_f32", MOX_BF16, MOX_F32},   {"f16_bf16", MOX_F16, MOX_BF16}};
  for (const int threads : {1, 2}) {
    for (const bool fresh : {false, true}) {
      const std::string where = fresh ? "fresh/" : "touched/";
      for (const DType dtype : {MOX_BF16, MOX_F32}) {
        benchmark::RegisterBenchmark(("memcpy/" + where + (dtype == MOX_F32 ? "f32" : "bf16")).c_str(), copy, dtype,
                                     fresh)
            ->Threads(threads)
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
      }
      for (const Case& one : cases) {
        for (const kernels::Storage storage : {kernels::Storage::kPlain, kernels::Storage::kCompact}) {
          const bool compact = storage == kernels::Storage::kCompact;
          if (compact && one.to != MOX_BF16) continue;
          benchmark::RegisterBenchmark(("pack/" + where + one.name + (compact ? "_compact" : "")).c_str(), pack,
                                       one.from, one.to, storage, fresh)
              ->Threads(threads)
              ->UseRealTime()
              ->Unit(benchmark::kMillisecond);
        }
      }
    }
  }
  for (const kernels::Packing& packing : kernels::packings()) {
    for (const Case& one : cases) {
      benchmark::RegisterBenchmark((std::string("transpose/") + packing.name + "/" + one.name).c_str(), transpose,
                                   &packing, one.from, one.to);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  source();
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
