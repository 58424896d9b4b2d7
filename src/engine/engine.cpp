#include "engine/engine.h"

#include <cstdlib>

#include "kernels/names.h"
#include "runtime/cpu.h"
#include "runtime/cpu_list.h"
#include "runtime/error.h"

namespace moxie {
namespace {

Placement placement_of(const mox_runtime_options& options) {
  if (options.threads < 0 || options.threads > most_threads) {
    throw invalid_argument("threads is " + std::to_string(options.threads) + "; expected 0 (one for each core) to " +
                           std::to_string(most_threads));
  }
  if (options.affinity < MOX_AFFINITY_AUTO || options.affinity > MOX_AFFINITY_COMPACT) {
    throw invalid_argument("affinity is " + std::to_string(options.affinity) + "; expected a mox_affinity");
  }
  Placement placement = place(read_topology("", allowed_cpus()), options.affinity, options.cpus, options.threads);
  require_bindable(placement);
  return placement;
}

template <typename Value, typename ByName>
Value by_name(const std::string& what, const std::string& name, Value last, ByName&& name_of) {
  std::string names;
  for (int value = 0; value <= static_cast<int>(last); ++value) {
    const std::string candidate = name_of(static_cast<Value>(value));
    if (candidate == name) return static_cast<Value>(value);
    names += (names.empty() ? "" : ", ") + candidate;
  }
  throw invalid_argument(what + " is '" + name + "'; expected one of " + names);
}

int threads_by_name(const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < 1 || value > most_threads) {
    throw invalid_argument("MOXIE_THREADS is '" + text + "'; expected 1 to " + std::to_string(most_threads));
  }
  return static_cast<int>(value);
}

mox_isa isa_by_name(const std::string& name, const std::string& what) {
  return by_name<mox_isa>(what, name, MOX_ISA_AMX, kernels::isa_name);
}

mox_backend backend_by_name(const std::string& name, const std::string& what) {
  return by_name<mox_backend>(what, name, MOX_BACKEND_REFERENCE, kernels::backend_name);
}

const char* set_in_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

mox_runtime_options with_environment(mox_runtime_options options) {
  if (const char* isa = set_in_environment("MOXIE_ISA"); isa != nullptr && options.isa == MOX_ISA_BEST) {
    options.isa = isa_by_name(isa, "MOXIE_ISA");
  }
  if (const char* backend = set_in_environment("MOXIE_BACKEND");
      backend != nullptr && options.backend == MOX_BACKEND_AUTO) {
    options.backend = backend_by_name(backend, "MOXIE_BACKEND");
  }
  if (const char* threads = set_in_environment("MOXIE_THREADS"); threads != nullptr && options.threads == 0) {
    options.threads = threads_by_name(threads);
  }
  if (const char* affinity = set_in_environment("MOXIE_AFFINITY");
      affinity != nullptr && options.affinity == MOX_AFFINITY_AUTO) {
    options.affinity = by_name<mox_affinity>("MOXIE_AFFINITY", affinity, MOX_AFFINITY_COMPACT, affinity_name);
  }
  if (const char* cpus = set_in_environment("MOXIE_CPUS"); cpus != nullptr && options.cpus == nullptr) {
    options.cpus = cpus;
  }
  return options;
}

Engine::Engine(const mox_runtime_options& options)
    : log_(options.log),
      log_payload_(options.log_payload),
      log_level_(options.log_level),
      isa_(kernels::level_in_use(options.isa)),
      kernels_(kernels::choose(options.isa, options.backend)),
      table_(kernels::table(options.isa, options.backend)),
      executor_(placement_of(options)) {
  if (options.numerics != MOX_NUMERICS_REPRODUCIBLE && options.numerics != MOX_NUMERICS_FASTEST) {
    throw invalid_argument("numerics is " + std::to_string(options.numerics) +
                           "; expected MOX_NUMERICS_REPRODUCIBLE or MOX_NUMERICS_FASTEST");
  }
  if (log_level_ < MOX_LOG_WARNING || log_level_ > MOX_LOG_VERBOSE) {
    throw invalid_argument("log_level is " + std::to_string(log_level_) + "; expected a mox_log_level");
  }
  for (const kernels::TableEntry& entry : table_) {
    if (!entry.skipped_because.empty()) {
      log(MOX_LOG_VERBOSE, std::string("kernels ") + entry.kernels->name + ": skipped: " + entry.skipped_because);
    }
  }
  log(MOX_LOG_VERBOSE, std::string("kernels for float32 weights: ") + kernels_.f32->name + ", for bfloat16 weights: " +
                           kernels_.bf16->name + ", " + std::to_string(threads()) + " threads");
  log(MOX_LOG_VERBOSE, "affinity " + std::string(affinity_name(placement().affinity)) + ", CPUs " +
                           cpu_list_text(placement().cpus) + " of " + std::to_string(placement().cores) + " cores on " +
                           std::to_string(placement().nodes) + " NUMA nodes");
}

void Engine::log(mox_log_level level, const std::string& text) const noexcept {
  if (log_ != nullptr && level <= log_level_) log_(log_payload_, level, text.c_str());
}

}  // namespace moxie
