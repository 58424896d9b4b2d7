// What the products reach beside what the registers allow, measured in the same run: compare only those.
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/cpu.h"

namespace {

using namespace moxie;
using kernels::Kernels;
using kernels::PackedMatrix;

constexpr int sums = 16;

void count_operations(benchmark::State& state, double per_iteration) {
  state.counters["flops"] =
      benchmark::Counter(per_iteration * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// Multiply-adds between registers only: the limit of one core.
__attribute__((target("avx512f"))) void limit_avx512_f32(benchmark::State& state) {
  __m512 sum[sums] = {};
  __m512 a = _mm512_set1_ps(1), b = _mm512_set1_ps(1e-9F);
  for (auto _ : state) {
    for (int i = 0; i < 1000; ++i) {
#pragma GCC unroll 16
      for (__m512& s : sum) s = _mm512_fmadd_ps(a, b, s);
      asm volatile("" : "+v"(a), "+v"(b));
    }
    for (__m512& s : sum) asm volatile("" : "+v"(s));
  }
  count_operations(state, 1000.0 * sums * 16 * 2);
}

__attribute__((target("avx512f,avx512bf16"))) void limit_avx512_bf16(benchmark::State& state) {
  __m512 sum[sums] = {};
  __m512i a = _mm512_set1_epi32(0x3f803f80), b = _mm512_set1_epi32(0x30003000);
  for (auto _ : state) {
    for (int i = 0; i < 1000; ++i) {
#pragma GCC unroll 16
      for (__m512& s : sum) s = _mm512_dpbf16_ps(s, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
      asm volatile("" : "+v"(a), "+v"(b));
    }
    for (__m512& s : sum) asm volatile("" : "+v"(s));
  }
  count_operations(state, 1000.0 * sums * 32 * 2);
}

__attribute__((target("avx2,fma"))) void limit_avx2_f32(benchmark::State& state) {
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

constexpr int64_t features = 14336, width = 4096;

const PackedMatrix& weights(DType dtype) {
  const auto make = [](DType type) {
    std::mt19937 generator(1);
    std::vector<float> row(width);
    for (float& value : row) value = static_cast<float>(generator() % 1000) * 1e-3F - 0.5F;
    PackedMatrix matrix(type, features, width);
    for (int64_t n = 0; n < features; ++n) matrix.pack_rows(n, 1, row.data(), MOX_F32, width);
    return matrix;
  };
  static const PackedMatrix f32 = make(MOX_F32);
  static const PackedMatrix bf16 = make(MOX_BF16);
  return dtype == MOX_F32 ? f32 : bf16;
}

// One linear of Mixtral (4096 -> 14336), in tasks of 8 panels as the dispatcher cuts them.
void product(benchmark::State& state, const Kernels* kernels, DType dtype) {
  const int64_t rows = state.range(0);
  const PackedMatrix& w = weights(dtype);
  const std::vector<float> a_f32(static_cast<size_t>(rows * width), 0.25F);
  const std::vector<bfloat16> a_bf16(static_cast<size_t>(rows * width), round_to_bfloat16(0.25F));
  std::vector<float> c(static_cast<size_t>(rows * features));
  for (auto _ : state) {
    for (int64_t panel = 0; panel < w.panels(); panel += 8) {
      kernels::Matmul m;
      m.a = dtype == MOX_F32 ? static_cast<const void*>(a_f32.data()) : static_cast<const void*>(a_bf16.data());
      m.lda = width;
      m.rows = rows;
      m.w = &w;
      m.panel_begin = panel;
      m.panel_end = std::min(panel + 8, w.panels());
      m.k_end = width;
      m.c = c.data() + panel * kernels::panel_width;
      m.ldc = features;
      (dtype == MOX_F32 ? kernels->matmul_f32 : kernels->matmul_bf16)(m);
    }
    benchmark::DoNotOptimize(c.data());
  }
  count_operations(state, 2.0 * static_cast<double>(rows) * features * width);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(w.bytes()));
}

void router(benchmark::State& state, const Kernels* kernels) {
  constexpr int64_t experts = 128, k = 2048;
  const int64_t rows = state.range(0);
  const std::vector<float> x(static_cast<size_t>(rows * k), 0.5F), gate(experts * k, 0.25F);
  std::vector<float> logits(static_cast<size_t>(rows * experts));
  for (auto _ : state) {
    kernels->router(x.data(), k, rows, gate.data(), k, experts, k, logits.data(), experts);
    benchmark::DoNotOptimize(logits.data());
  }
  count_operations(state, 2.0 * static_cast<double>(rows) * experts * k);
  state.SetBytesProcessed(state.iterations() * experts * k * 4);
}

void activate(benchmark::State& state, const Kernels* kernels) {
  constexpr int64_t count = 14336;
  const std::vector<float> gate(count, 0.5F), up(count, 0.25F);
  std::vector<float> h(count);
  for (auto _ : state) {
    kernels->activate(MOX_ACTIVATION_SILU, gate.data(), up.data(), 1, count, h.data(), false);
    benchmark::DoNotOptimize(h.data());
  }
  state.SetItemsProcessed(state.iterations() * count);
}

void register_all() {
  const mox_isa machine = machine_isa();
  if (machine >= MOX_ISA_AVX2) benchmark::RegisterBenchmark("limit/avx2_f32", limit_avx2_f32);
  if (machine >= MOX_ISA_AVX512) benchmark::RegisterBenchmark("limit/avx512_f32", limit_avx512_f32);
  if (machine >= MOX_ISA_AVX512_BF16) benchmark::RegisterBenchmark("limit/avx512_bf16", limit_avx512_bf16);
  for (const mox_backend backend : {MOX_BACKEND_NATIVE, MOX_BACKEND_ONEDNN, MOX_BACKEND_EIGEN}) {
    for (const kernels::TableEntry& entry : kernels::table(MOX_ISA_BEST, backend)) {
      if (!entry.skipped_because.empty()) continue;
      const Kernels* kernels = entry.kernels;
      const std::string name = kernels->name;
      for (const DType dtype : {MOX_F32, MOX_BF16}) {
        benchmark::RegisterBenchmark(("product/" + name + (dtype == MOX_F32 ? "/f32" : "/bf16")).c_str(), product,
                                     kernels, dtype)
            ->Arg(1)
            ->Arg(4)
            ->Arg(8)
            ->Arg(16)
            ->Arg(64)
            ->Arg(512)
            ->Unit(benchmark::kMillisecond);
      }
      if (backend != MOX_BACKEND_NATIVE) continue;
      benchmark::RegisterBenchmark(("router/" + name).c_str(), router, kernels)->Arg(1)->Arg(3)->Arg(64);
      benchmark::RegisterBenchmark(("activate/" + name).c_str(), activate, kernels);
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
