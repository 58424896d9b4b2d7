#include "cli/common_options.h"

#include <cstdio>
#include <vector>

#include "cli/failure.h"
#include "cli/table.h"

namespace moxie::cli {
namespace {

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (int isa = MOX_ISA_PORTABLE; isa <= MOX_ISA_AMX; ++isa) names.emplace_back(mox_isa_name(mox_isa(isa)));
  return names;
}

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (int backend = MOX_BACKEND_NATIVE; backend <= MOX_BACKEND_REFERENCE; ++backend) {
    names.emplace_back(mox_backend_name(mox_backend(backend)));
  }
  return names;
}

std::vector<std::string> affinity_names() {
  std::vector<std::string> names;
  for (int affinity = MOX_AFFINITY_NONE; affinity <= MOX_AFFINITY_COMPACT; ++affinity) {
    names.emplace_back(mox_affinity_name(mox_affinity(affinity)));
  }
  return names;
}

// Place of `name` in `names`, from 1.
int place(const std::vector<std::string>& names, const std::string& name, const char* what) {
  std::string known;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<int>(i) + 1;
    known += (i ? ", " : "") + names[i];
  }
  throw UsageError("there is no " + std::string(what) + " '" + name + "'; there are " + known);
}

void log_line(void*, mox_log_level level, const char* text) {
  std::fprintf(stderr, "%s%s\n", level == MOX_LOG_WARNING ? "moxie: warning: " : "moxie: ", text);
}

}  // namespace

mox_isa isa_called(const std::string& name) { return mox_isa(place(isa_names(), name, "instruction set")); }

mox_backend backend_called(const std::string& name) { return mox_backend(place(backend_names(), name, "backend")); }

void add_common_options(CLI::App& command, CommonOptions& options) {
  const std::string group = "Machine";
  command.add_option("--isa", options.isa, "Highest instruction set to use (default: MOXIE_ISA, else the machine's)")
      ->check(CLI::IsMember(isa_names()))
      ->group(group);
  command.add_option("--backend", options.backend, "Who computes (default: MOXIE_BACKEND, else the best there is)")
      ->check(CLI::IsMember(backend_names()))
      ->group(group);
  command.add_option("--threads", options.threads, "Threads (default: MOXIE_THREADS, else one for each core)")
      ->check(CLI::Range(1, 1024))
      ->group(group);
  command
      .add_option("--affinity", options.affinity,
                  "Bind threads: none, one to each core, or compact: one to each CPU (default: MOXIE_AFFINITY, else "
                  "compact where CPUs are listed)")
      ->check(CLI::IsMember(affinity_names()))
      ->group(group);
  command.add_option("--cpus", options.cpus, "CPUs to run on, like 0-15,32 (default: MOXIE_CPUS, else all allowed)")
      ->type_name("LIST")
      ->group(group);
  command
      .add_flag("--verbose", options.verbose, "Print the kernel table, with why each kernel is skipped, and the log")
      ->group(group);
}

void add_json_option(CLI::App& command, CommonOptions& options) {
  command.add_flag("--json", options.json, "Print the result as JSON");
}

void add_weights_option(CLI::App& command, std::string& weights) {
  weights = "stored";
  command.add_option("--weights", weights, "How weights are held and computed with")
      ->check(CLI::IsMember({"stored", "float32", "bfloat16"}))
      ->capture_default_str();
}

mox_weights weights_called(const std::string& name) {
  if (name == "float32") return MOX_WEIGHTS_F32;
  if (name == "bfloat16") return MOX_WEIGHTS_BF16;
  return MOX_WEIGHTS_AS_STORED;
}

const std::vector<std::string>& storage_names() {
  static const std::vector<std::string> names{"auto", "plain", "compact"};
  return names;
}

void add_storage_option(CLI::App& command, std::string& storage) {
  storage = storage_names().front();
  command
      .add_option("--storage", storage,
                  "How bfloat16 weights lie in memory: compact takes three quarters of plain, to the same results")
      ->check(CLI::IsMember(storage_names()))
      ->capture_default_str();
}

mox_storage storage_called(const std::string& name) { return mox_storage(place(storage_names(), name, "storage") - 1); }

Runtime open_runtime(const CommonOptions& options) { return open_runtime(options, options.backend); }

Runtime open_runtime(const CommonOptions& options, const std::string& backend) {
  auto settings = defaults(mox_runtime_options_init);
  if (options.threads > 0) settings.threads = options.threads;
  if (!options.affinity.empty()) {
    settings.affinity = mox_affinity(place(affinity_names(), options.affinity, "affinity"));
  }
  if (!options.cpus.empty()) settings.cpus = options.cpus.c_str();
  if (!options.isa.empty()) settings.isa = isa_called(options.isa);
  if (!backend.empty()) settings.backend = backend_called(backend);
  settings.log = log_line;
  settings.log_level = options.verbose ? MOX_LOG_VERBOSE : MOX_LOG_WARNING;
  auto runtime = make<Runtime>(mox_runtime_create, &settings);
  if (options.verbose) std::fputs(kernel_table(runtime.get()).c_str(), stderr);
  return runtime;
}

std::string kernel_table(const mox_runtime* runtime) {
  Table table({"kernel", "skipped because"});
  for (size_t index = 0;; ++index) {
    const char *name = nullptr, *reason = nullptr;
    if (mox_runtime_kernel(runtime, index, &name, &reason, nullptr) != MOX_OK) break;
    table.add({name, *reason ? reason : "(can be used)"});
  }
  return table.text();
}

}  // namespace moxie::cli
