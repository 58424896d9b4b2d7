#include <algorithm>
#include <string>
#include <vector>

#include "kernels/amx/amx.h"
#include "kernels/entries.h"
#include "kernels/names.h"
#include "kernels/onednn/onednn.h"
#include "runtime/build_info.h"
#include "runtime/cpu.h"
#include "runtime/error.h"

namespace moxie::kernels {
namespace {

// Best to reference.
const Kernels* const all[] = {
    &entries::amx,    &entries::avx512_bf16, &entries::avx512, &entries::avx2, &entries::portable,
#if MOXIE_HAVE_ONEDNN
    &entries::onednn,
#endif
    &entries::eigen,  &entries::reference,
};

mox_isa checked_limit(mox_isa limit) {
  const mox_isa machine = machine_isa();
  if (limit == MOX_ISA_BEST) return machine;
  if (limit < MOX_ISA_BEST || limit > MOX_ISA_AMX) {
    throw invalid_argument("mox_isa " + std::to_string(static_cast<int>(limit)) + " does not exist");
  }
  if (limit > machine) {
    throw unsupported(std::string("instruction set ") + isa_name(limit) +
                      " was asked for, but the highest of this machine (" + cpu_name() + ") is " + isa_name(machine));
  }
  return limit;
}

// Which kernels: those of a level that was asked for, or the best there are.
struct Wanted {
  mox_isa limit;
  bool best;
  explicit Wanted(mox_isa asked_for) : limit(checked_limit(asked_for)), best(asked_for == MOX_ISA_BEST) {}
};

std::string reason_to_skip(const Kernels& kernels, const Wanted& wanted, mox_backend backend) {
  const mox_isa limit = wanted.limit;
  if (backend != MOX_BACKEND_AUTO && backend != kernels.backend) {
    return std::string("backend ") + backend_name(backend) + " was asked for";
  }
  if (kernels.isa > machine_isa()) {
    return std::string("needs ") + isa_name(kernels.isa) + ", the highest of this machine is " +
           isa_name(machine_isa());
  }
  if (kernels.isa > limit) return std::string("above the instruction set that was asked for, ") + isa_name(limit);
  if (kernels.isa == MOX_ISA_AMX) return amx::refusal();
  if (kernels.isa == MOX_ISA_AVX512_BF16 && wanted.best && vdpbf16ps_is_slow()) {
    return "not chosen unless asked for: VDPBF16PS is slower here than float32 products of the same operands";
  }
#if MOXIE_HAVE_ONEDNN
  if (kernels.backend == MOX_BACKEND_ONEDNN) {
    if (backend == MOX_BACKEND_AUTO) return "not chosen unless asked for: the native kernels are ahead";
    return onednn::refusal(limit);
  }
#endif
  return "";
}

const Kernels* native_of(const Wanted& wanted) {
  for (const Kernels* kernels : all) {
    if (reason_to_skip(*kernels, wanted, MOX_BACKEND_NATIVE).empty()) return kernels;
  }
  return &entries::portable;
}

}  // namespace

const char* backend_name(mox_backend backend) {
  switch (backend) {
    case MOX_BACKEND_AUTO:
      return "auto";
    case MOX_BACKEND_NATIVE:
      return "native";
    case MOX_BACKEND_ONEDNN:
      return "onednn";
    case MOX_BACKEND_EIGEN:
      return "eigen";
    case MOX_BACKEND_REFERENCE:
      return "reference";
  }
  return "unknown";
}

const char* isa_name(mox_isa isa) {
  switch (isa) {
    case MOX_ISA_BEST:
      return "best";
    case MOX_ISA_PORTABLE:
      return "portable";
    case MOX_ISA_AVX2:
      return "avx2";
    case MOX_ISA_AVX512:
      return "avx512";
    case MOX_ISA_AVX512_BF16:
      return "avx512_bf16";
    case MOX_ISA_AMX:
      return "amx";
  }
  return "unknown";
}

mox_isa level_in_use(mox_isa isa_limit) {
  const Wanted wanted(isa_limit);
  return wanted.best ? native_of(wanted)->isa : wanted.limit;
}

std::vector<TableEntry> table(mox_isa isa_limit, mox_backend backend) {
  const Wanted wanted(isa_limit);
  std::vector<TableEntry> result;
  for (const Kernels* kernels : all) result.push_back({kernels, reason_to_skip(*kernels, wanted, backend)});
  return result;
}

Choice choose(mox_isa isa_limit, mox_backend backend) {
  const Wanted wanted(isa_limit);
  if (backend < MOX_BACKEND_AUTO || backend > MOX_BACKEND_REFERENCE) {
    throw invalid_argument("mox_backend " + std::to_string(static_cast<int>(backend)) + " does not exist");
  }
#if !MOXIE_HAVE_ONEDNN
  if (backend == MOX_BACKEND_ONEDNN) {
    throw unsupported("backend onednn was asked for, but this build has none (" + backends_in_build() +
                      "): configure with -DMOXIE_WITH_ONEDNN=ON");
  }
#endif
  std::string reasons;
  for (const TableEntry& entry : table(isa_limit, backend)) {
    if (entry.skipped_because.empty()) {
      Choice choice;
      choice.f32 = entry.kernels;
      choice.bf16 = entry.kernels;
      choice.small = entry.kernels->backend == MOX_BACKEND_REFERENCE ? entry.kernels : native_of(wanted);
      return choice;
    }
    if (entry.kernels->backend == backend) reasons = entry.skipped_because;
  }
  throw unsupported(std::string("backend ") + backend_name(backend) + " cannot be used: " + reasons);
}

std::string backends_in_build() {
  std::string names;
  for (const Kernels* kernels : all) {
    const char* name = backend_name(kernels->backend);
    if (names.find(name) != std::string::npos) continue;
    if (!names.empty()) names += ",";
    names += name;
  }
  return names;
}

}  // namespace moxie::kernels
