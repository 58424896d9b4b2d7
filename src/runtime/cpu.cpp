#include "runtime/cpu.h"

#include <cpuid.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <memory>

namespace moxie {
namespace {

// The tile registers are 8 KiB of state, so Linux hands them out on request, once for the whole process (Linux 5.16).
bool linux_grants_tiles() {
  constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long tile_data = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned amx_bf16 = 1U << 22, amx_tile = 1U << 24;
  return (d & amx_bf16) != 0 && (d & amx_tile) != 0 && linux_grants_tiles();
}

// __builtin_cpu_supports also asks whether the operating system saves the registers.
mox_isa detect() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) {
    return MOX_ISA_PORTABLE;
  }
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) {
    return MOX_ISA_AVX2;
  }
  if (!__builtin_cpu_supports("avx512bf16")) return MOX_ISA_AVX512;
  return has_amx() ? MOX_ISA_AMX : MOX_ISA_AVX512_BF16;
}

}  // namespace

mox_isa machine_isa() {
  static const mox_isa isa = detect();
  return isa;
}

std::string cpu_name() {
  constexpr unsigned first_leaf = 0x80000002U, last_leaf = 0x80000004U;
  if (__get_cpuid_max(0x80000000U, nullptr) < last_leaf) return "x86-64";
  char text[49] = {};
  for (unsigned leaf = first_leaf; leaf <= last_leaf; ++leaf) {
    unsigned words[4] = {};
    __get_cpuid(leaf, &words[0], &words[1], &words[2], &words[3]);
    std::memcpy(text + (leaf - first_leaf) * sizeof words, words, sizeof words);
  }
  const std::string name = text;
  const size_t begin = name.find_first_not_of(' ');
  if (begin == std::string::npos) return "x86-64";
  return name.substr(begin, name.find_last_not_of(' ') - begin + 1);
}

bool vdpbf16ps_is_slow() {
  // Sapphire Rapids and its successors have AVX512-FP16, whether a hypervisor shows their tiles or not.
  constexpr unsigned avx512_fp16 = 1U << 23;
  unsigned a = 0, b = 0, c = 0, d = 0;
  __builtin_cpu_init();
  return __builtin_cpu_is("intel") != 0 && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & avx512_fp16) != 0;
}

std::vector<int> allowed_cpus() {
  // A machine may have more processors than cpu_set_t has bits: the call then fails, and the set is made larger.
  std::vector<int> cpus;
  for (int capacity = 1024; capacity <= 1 << 20 && cpus.empty(); capacity *= 2) {
    const size_t bytes = CPU_ALLOC_SIZE(capacity);
    const auto release = [](cpu_set_t* set) { CPU_FREE(set); };
    const std::unique_ptr<cpu_set_t, decltype(release)> set(CPU_ALLOC(capacity), release);
    if (!set) break;
    if (sched_getaffinity(0, bytes, set.get()) != 0) continue;
    for (int cpu = 0; cpu < capacity; ++cpu) {
      if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, set.get())) cpus.push_back(cpu);
    }
  }
  return cpus.empty() ? std::vector<int>{0} : cpus;
}

}  // namespace moxie
