#include "support.h"

namespace api_test {
namespace {

bool accepted(Machine machine) {
  mox_runtime_options options;
  mox_runtime_options_init(&options, sizeof(options));
  options.threads = 1;
  options.isa = machine.isa;
  options.backend = machine.backend;
  mox_runtime* runtime = nullptr;
  const mox_status status = mox_runtime_create(&options, &runtime, nullptr);
  mox_runtime_free(runtime);
  return status == MOX_OK;
}

}  // namespace

std::vector<NamedMachine> machines() {
  const Runtime best = make_runtime(1);
  mox_runtime_info info{};
  info.struct_size = sizeof(info);
  must(mox_runtime_describe, best.get(), &info);
  const std::string build = "," + std::string(info.backends) + ",";

  std::vector<NamedMachine> result;
  const auto add = [&](mox_isa isa, mox_backend backend) {
    const std::string level = isa == MOX_ISA_BEST ? "best" : mox_isa_name(isa);
    const std::string who = backend == MOX_BACKEND_AUTO ? "auto" : mox_backend_name(backend);
    result.push_back({level + "_" + who, {isa, backend}});
  };
  // These must work: a runtime that refuses one of them fails the tests that use it. Backends come first, because
  // oneDNN keeps the level of its first use in a process.
  for (int backend = MOX_BACKEND_NATIVE; backend <= MOX_BACKEND_REFERENCE; ++backend) {
    const auto kind = static_cast<mox_backend>(backend);
    if (build.find("," + std::string(mox_backend_name(kind)) + ",") == std::string::npos) continue;
    add(MOX_ISA_BEST, kind);
    accepted({MOX_ISA_BEST, kind});
  }
  for (int isa = MOX_ISA_PORTABLE; isa <= info.machine_isa; ++isa) add(static_cast<mox_isa>(isa), MOX_BACKEND_AUTO);
  // These may. The native kernels of a level are what is chosen there if the backend is left open.
  for (int isa = MOX_ISA_PORTABLE; isa < info.machine_isa; ++isa) {
    for (const mox_backend backend : {MOX_BACKEND_ONEDNN, MOX_BACKEND_EIGEN}) {
      const Machine machine{static_cast<mox_isa>(isa), backend};
      if (accepted(machine)) add(machine.isa, machine.backend);
    }
  }
  return result;
}

}  // namespace api_test
