// What attention reaches on one core beside what the registers and memory allow, measured in the same run: compare only
// those. 32 query heads over 8 kv heads of 128 dimensions.
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cli/bench/loops/loops.h"
#include "kernels/kernels.h"
#include "runtime/cpu.h"
#include "runtime/huge_memory.h"
#include "runtime/workspace.h"
#include "transformer/cache.h"

namespace {

using namespace moxie;
using kernels::cache_block;
using kernels::Kernels;

constexpr int64_t heads = 32, kv_heads = 8, group = heads / kv_heads, head_dim = 128;
constexpr int64_t rows_per_task = 16;                  // as transformer/attention cuts them
constexpr int64_t beyond_caches = int64_t{256} << 20;  // bytes that no cache holds

void count_operations(benchmark::State& state, double per_iteration) {
  state.counters["flops"] =
      benchmark::Counter(per_iteration * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// Multiply-adds between registers only.
__attribute__((target("avx512f"))) void limit_avx512(benchmark::State& state) {
  __m512 sum[12] = {};
  __m512 a = _mm512_set1_ps(1), b = _mm512_set1_ps(1e-9F);
  for (auto _ : state) {
    for (int i = 0; i < 1000; ++i) {
#pragma GCC unroll 12
      for (__m512& s : sum) s = _mm512_fmadd_ps(a, b, s);
      asm volatile("" : "+v"(a), "+v"(b));
    }
    for (__m512& s : sum) asm volatile("" : "+v"(s));
  }
  count_operations(state, 1000.0 * 12 * 16 * 2);
}

__attribute__((target("avx2,fma"))) void limit_avx2(benchmark::State& state) {
  __m256 sum[12] = {};
  __m256 a = _mm256_set1_ps(1), b = _mm256_set1_ps(1e-9F);
  for (auto _ : state) {
    for (int i = 0; i < 1000; ++i) {
#pragma GCC unroll 12
      for (__m256& s : sum) s = _mm256_fmadd_ps(a, b, s);
      asm volatile("" : "+x"(a), "+x"(b));
    }
    for (__m256& s : sum) asm volatile("" : "+x"(s));
  }
  count_operations(state, 1000.0 * 12 * 8 * 2);
}

// Reading only, on the pages that keys and values lie on, in as many places at a time as give the most.
void limit_of_memory(benchmark::State& state) {
  constexpr int64_t streams = 4, apart = beyond_caches / streams;
  static_assert(cli::bench::kStreams[2] == streams);
  const std::shared_ptr<std::byte> memory = huge_memory(beyond_caches);
  std::fill_n(memory.get(), beyond_caches, std::byte{1});
  for (auto _ : state) {
    cli::bench::loops::sse2_readers.plain[2](reinterpret_cast<const char*>(memory.get()), apart, apart);
  }
  state.SetBytesProcessed(state.iterations() * beyond_caches);
}

struct Filled {
  transformer::Cache cache;
  std::vector<const std::byte*> blocks;
  Filled(int64_t layers, int64_t positions, DType dtype) : cache({layers, kv_heads, head_dim, dtype}) {
    cache.prepare(0, positions);
    std::mt19937 generator(1);
    std::vector<float> row(head_dim);
    for (float& value : row) value = static_cast<float>(generator() % 1000) * 1e-3F - 0.5F;
    const transformer::CacheShape& shape = cache.shape();
    for (int64_t p = 0; p < positions; ++p) {
      for (int64_t head = 0; head < layers * kv_heads; ++head) {
        std::byte* block = cache.block(p / cache_block);
        shape.layout().write_keys(block + shape.keys(0, head), p % cache_block, 1, row.data(), head_dim);
        shape.layout().write_values(block + shape.values(0, head), p % cache_block, 1, row.data(), head_dim);
      }
    }
    for (int64_t b = 0; b < cache.blocks(); ++b) blocks.push_back(cache.block(b));
  }
};

// Rows [first, first + rows) in all heads of a layer.
void attend_rows(const Kernels& kernels, const Filled& filled, int64_t layer, int64_t first, int64_t rows,
                 const float* queries, float* output, float* scratch) {
  for (int64_t head = 0; head < kv_heads; ++head) {
    for (int64_t row = 0; row < rows; row += rows_per_task) {
      kernels::Attend a;
      a.query = queries + (head * rows + row) * group * head_dim;
      a.rows = std::min(rows_per_task, rows - row);
      a.group = group;
      a.head_dim = head_dim;
      a.scale = 0.088F;
      a.first = first + row;
      a.dtype = filled.cache.shape().dtype;
      a.blocks = filled.blocks.data();
      a.key_offset = filled.cache.shape().keys(layer, head);
      a.value_offset = filled.cache.shape().values(layer, head);
      a.ldo = heads * head_dim;
      a.output = output + row * a.ldo + head * group * head_dim;
      kernels.attend(a, scratch);
    }
  }
}

void prefill(benchmark::State& state, const Kernels* kernels, DType dtype) {
  const int64_t rows = state.range(0);
  const Filled filled(1, rows, dtype);
  const std::vector<float> queries(static_cast<size_t>(rows * heads * head_dim), 0.1F);
  std::vector<float> output(queries.size());
  Workspace workspace;
  auto* scratch = workspace.take<float>(2 * rows_per_task * group * kernels::attend_state(head_dim));
  for (auto _ : state) {
    attend_rows(*kernels, filled, 0, 0, rows, queries.data(), output.data(), scratch);
    benchmark::DoNotOptimize(output.data());
  }
  count_operations(state, 2.0 * static_cast<double>(rows) * static_cast<double>(rows + 1) * heads * head_dim);
}

// One token of a sequence, through as many layers as no cache holds.
void decode(benchmark::State& state, const Kernels* kernels, DType dtype) {
  const int64_t positions = state.range(0);
  const int64_t layer_bytes = positions * kv_heads * head_dim * 2 * static_cast<int64_t>(element_size(dtype));
  const int64_t layers = std::max<int64_t>(1, beyond_caches / layer_bytes);
  const Filled filled(layers, positions, dtype);
  const std::vector<float> queries(heads * head_dim, 0.1F);
  std::vector<float> output(queries.size());
  Workspace workspace;
  auto* scratch = workspace.take<float>(2 * rows_per_task * group * kernels::attend_state(head_dim));
  for (auto _ : state) {
    for (int64_t layer = 0; layer < layers; ++layer) {
      attend_rows(*kernels, filled, layer, positions - 1, 1, queries.data(), output.data(), scratch);
    }
    benchmark::DoNotOptimize(output.data());
  }
  count_operations(state, 4.0 * static_cast<double>(positions * layers) * heads * head_dim);
  state.SetBytesProcessed(state.iterations() * layer_bytes * layers);
}

void register_all() {
  const mox_isa machine = machine_isa();
  if (machine >= MOX_ISA_AVX2) benchmark::RegisterBenchmark("limit/avx2", limit_avx2);
  if (machine >= MOX_ISA_AVX512) benchmark::RegisterBenchmark("limit/avx512", limit_avx512);
  benchmark::RegisterBenchmark("limit/memory", limit_of_memory)->Unit(benchmark::kMillisecond);
  for (const kernels::TableEntry& entry : kernels::table(MOX_ISA_BEST, MOX_BACKEND_NATIVE)) {
    if (!entry.skipped_because.empty()) continue;
    const Kernels* kernels = entry.kernels;
    for (const DType dtype : {MOX_F32, MOX_BF16}) {
      const std::string name = std::string(kernels->name) + (dtype == MOX_F32 ? "/f32" : "/bf16");
      benchmark::RegisterBenchmark(("prefill/" + name).c_str(), prefill, kernels, dtype)
          ->RangeMultiplier(2)
          ->Range(512, 2048)
          ->Unit(benchmark::kMillisecond);
      benchmark::RegisterBenchmark(("decode/" + name).c_str(), decode, kernels, dtype)
          ->RangeMultiplier(2)
          ->Range(1024, 8192)
          ->Unit(benchmark::kMillisecond);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
