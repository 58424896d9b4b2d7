#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>

#include "kernels/names.h"
#include "kernels/onednn/one_thread.h"
#include "kernels/onednn/onednn.h"
#include "runtime/cpu.h"

namespace moxie::kernels::onednn {
namespace {

std::mutex mutex;
mox_isa settled = MOX_ISA_BEST;  // BEST: not yet

dnnl::cpu_isa limit_of(mox_isa isa) {
  switch (isa) {
    case MOX_ISA_AVX2:
      return dnnl::cpu_isa::avx2;
    case MOX_ISA_AVX512:
      return dnnl::cpu_isa::avx512_core;
    case MOX_ISA_AVX512_BF16:
      return dnnl::cpu_isa::avx512_core_bf16;
    case MOX_ISA_AMX:
      return dnnl::cpu_isa::avx512_core_amx;
    case MOX_ISA_BEST:
    case MOX_ISA_PORTABLE:
      break;
  }
  return dnnl::cpu_isa::sse41;  // the lowest it has
}

// When it first makes code, oneDNN looks for a profiler, and glibc keeps the failure in memory of the thread that
// asked. A worker of the team would free it only while it ends, which nobody can wait for: a leak checker that comes
// too early reports it. So this thread, whoever it is, comes first.
void make_first_code() {
  const OneThread one_thread;
  float c = 0;
  const float one = 1;
  dnnl::sgemm('N', 'N', 1, 1, 1, 1, &one, 1, &one, 1, 0, &c, 1);
}

}  // namespace

std::string refusal(mox_isa isa_limit) {
  const std::lock_guard lock(mutex);
  if (settled == MOX_ISA_BEST) {
    // At the machine's own level oneDNN is left alone: it may know instructions that have no level here.
    if (isa_limit < machine_isa() && dnnl::set_max_cpu_isa(limit_of(isa_limit)) != dnnl::status::success) {
      return std::string("oneDNN does not accept instruction set ") + isa_name(isa_limit) +
             ": it was already used in this process, or its build has no such control";
    }
    settled = isa_limit;
    make_first_code();
  }
  if (settled == isa_limit) return "";
  return std::string("oneDNN keeps the instruction set of its first use in a process, ") + isa_name(settled) +
         "; asked for now: " + isa_name(isa_limit);
}

mox_isa settled_isa() {
  const std::lock_guard lock(mutex);
  return settled == MOX_ISA_BEST ? machine_isa() : settled;
}

}  // namespace moxie::kernels::onednn
