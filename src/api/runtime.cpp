#include "api/call.h"
#include "api/handles.h"
#include "runtime/cpu.h"
#include "runtime/cpu_list.h"

using moxie::api::guard;

namespace {

constexpr mox_runtime_options default_options = {sizeof(mox_runtime_options), 0,       MOX_ISA_BEST, MOX_BACKEND_AUTO,
                                                 MOX_NUMERICS_REPRODUCIBLE,   nullptr, nullptr,      MOX_LOG_WARNING,
                                                 MOX_AFFINITY_AUTO,           nullptr};

}  // namespace

void mox_runtime_options_init(mox_runtime_options* options, size_t struct_size) {
  moxie::api::init_struct(options, struct_size, default_options);
}

mox_status mox_runtime_create(const mox_runtime_options* options, mox_runtime** runtime, mox_error* error) {
  return guard(error, [&] {
    moxie::api::require_not_null(runtime, "runtime");
    const mox_runtime_options given = moxie::api::read_struct(options, default_options, "mox_runtime_options");
    auto handle = std::make_unique<mox_runtime>();
    handle->engine = std::make_shared<moxie::Engine>(moxie::with_environment(given));
    *runtime = handle.release();
  });
}

void mox_runtime_free(mox_runtime* runtime) { delete runtime; }

mox_status mox_runtime_describe(const mox_runtime* runtime, mox_runtime_info* info, mox_error* error) {
  return guard(error, [&] {
    moxie::api::require_not_null(runtime, "runtime");
    const moxie::Engine& engine = *runtime->engine;
    mox_runtime_info found{};
    found.threads = engine.threads();
    found.isa = engine.isa();
    found.machine_isa = moxie::machine_isa();
    moxie::api::copy_text(found.cpu, sizeof(found.cpu), moxie::cpu_name());
    moxie::api::copy_text(found.backends, sizeof(found.backends), moxie::kernels::backends_in_build());
    moxie::api::copy_text(found.kernel_f32, sizeof(found.kernel_f32), engine.kernels().f32->name);
    moxie::api::copy_text(found.kernel_bf16, sizeof(found.kernel_bf16), engine.kernels().bf16->name);
    const moxie::Placement& placement = engine.placement();
    found.affinity = placement.affinity;
    found.cores = placement.cores;
    found.numa_nodes = placement.nodes;
    moxie::api::copy_text(found.cpus, sizeof(found.cpus), moxie::cpu_list_text(placement.cpus));
    moxie::api::write_struct(info, found, "mox_runtime_info");
  });
}

mox_status mox_runtime_kernel(const mox_runtime* runtime, size_t index, const char** name, const char** skipped_because,
                              mox_error* error) {
  return guard(error, [&] {
    moxie::api::require_not_null(runtime, "runtime");
    const auto& table = runtime->engine->table();
    if (index >= table.size()) {
      throw moxie::not_found("kernel " + std::to_string(index) + ": the table has " + std::to_string(table.size()));
    }
    if (name != nullptr) *name = table[index].kernels->name;
    if (skipped_because != nullptr) *skipped_because = table[index].skipped_because.c_str();
  });
}
