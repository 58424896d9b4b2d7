// moxie kernels: what this machine and build can compute with.
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "cli/failure.h"
#include "cli/table.h"

namespace moxie::cli {
namespace {

int kernels(const CommonOptions& options) {
  auto quiet = options;
  quiet.verbose = false;  // the table is printed below
  const auto runtime = open_runtime(quiet);
  const auto info = describe<mox_runtime_info>(mox_runtime_describe, runtime);
  if (!options.json) {
    Table table({"processor", info.cpu});
    table.add({"instruction set", std::string(mox_isa_name(info.isa)) + " of " + mox_isa_name(info.machine_isa)});
    table.add({"threads", std::to_string(info.threads) + ", affinity " + mox_affinity_name(info.affinity)});
    table.add({"CPUs", std::string(info.cpus) + ": " + std::to_string(info.cores) + " cores, " +
                           std::to_string(info.numa_nodes) + " NUMA nodes"});
    table.add({"backends", info.backends});
    table.add({"float32 weights", info.kernel_f32});
    table.add({"bfloat16 weights", info.kernel_bf16});
    std::printf("%s\n%s", table.text().c_str(), kernel_table(runtime.get()).c_str());
    return kSuccess;
  }
  nlohmann::json json{{"cpu", info.cpu},
                      {"isa", mox_isa_name(info.isa)},
                      {"machine_isa", mox_isa_name(info.machine_isa)},
                      {"machine_isas", nlohmann::json::array()},
                      {"threads", info.threads},
                      {"affinity", mox_affinity_name(info.affinity)},
                      {"cpus", info.cpus},
                      {"cores", info.cores},
                      {"numa_nodes", info.numa_nodes},
                      {"backends", nlohmann::json::array()},
                      {"kernel_f32", info.kernel_f32},
                      {"kernel_bf16", info.kernel_bf16},
                      {"kernels", nlohmann::json::array()}};
  for (int isa = MOX_ISA_PORTABLE; isa <= info.machine_isa; ++isa) {
    json["machine_isas"].push_back(mox_isa_name(mox_isa(isa)));
  }
  std::istringstream backends(info.backends);
  for (std::string backend; std::getline(backends, backend, ',');) json["backends"].push_back(backend);
  const char *name = nullptr, *reason = nullptr;
  for (size_t i = 0; mox_runtime_kernel(runtime.get(), i, &name, &reason, nullptr) == MOX_OK; ++i) {
    json["kernels"].push_back({{"name", name}, {"usable", *reason == 0}, {"skipped_because", reason}});
  }
  std::puts(json.dump(2).c_str());
  return kSuccess;
}

}  // namespace

void add_kernels(CLI::App& application, Run& run) {
  auto options = std::make_shared<CommonOptions>();
  auto* command = application.add_subcommand("kernels", "Show the kernels, best to reference, and why any is skipped");
  add_json_option(*command, *options);
  add_common_options(*command, *options);
  command->footer(
      "Examples:\n"
      "  moxie kernels\n"
      "  moxie kernels --isa avx2 --json");
  command->callback([options, &run] { run = [options] { return kernels(*options); }; });
}

}  // namespace moxie::cli
