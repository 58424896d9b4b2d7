// What every call runs on: the team, the kernels chosen for this machine, the log.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "moxie/runtime.h"
#include "runtime/executor.h"

namespace moxie {

// What a call's code sees while it runs on the executor.
struct Context {
  Team& team;
  Workspace& workspace;
  const kernels::Choice& kernels;

  [[nodiscard]] const kernels::Kernels& small() const { return *kernels.small; }
  // The product for weights of that dtype.
  void matmul(DType dtype, const kernels::Matmul& call) const {
    if (dtype == MOX_BF16) {
      kernels.bf16->matmul_bf16(call);
    } else {
      kernels.f32->matmul_f32(call);
    }
  }
};

class Engine {
 public:
  // options: after with_environment. Error where they ask for what this machine or build lacks.
  explicit Engine(const mox_runtime_options& options);

  template <typename Job>
  void run(Job&& job) {
    executor_.run([&](Team& team, Workspace& workspace) {
      const Context context{team, workspace, kernels_};
      job(context);
    });
  }

  [[nodiscard]] int threads() const { return placement().threads; }
  [[nodiscard]] const Placement& placement() const { return executor_.placement(); }
  [[nodiscard]] const kernels::Choice& kernels() const { return kernels_; }
  [[nodiscard]] const std::vector<kernels::TableEntry>& table() const { return table_; }
  [[nodiscard]] mox_isa isa() const { return isa_; }
  void log(mox_log_level level, const std::string& text) const noexcept;

 private:
  mox_log_callback log_ = nullptr;
  void* log_payload_ = nullptr;
  mox_log_level log_level_ = MOX_LOG_WARNING;
  mox_isa isa_;
  kernels::Choice kernels_;
  std::vector<kernels::TableEntry> table_;
  Executor executor_;
};

// The request with MOXIE_ISA, MOXIE_BACKEND, MOXIE_THREADS, MOXIE_AFFINITY and MOXIE_CPUS put in where it leaves a
// choice.
mox_runtime_options with_environment(mox_runtime_options options);

}  // namespace moxie
