// The options every command takes, and the runtime made from them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/handles.h"

namespace moxie::cli {

struct CommonOptions {
  std::string isa;      // "": the library's default
  std::string backend;  // "": the library's default
  int threads = 0;
  std::string affinity;  // "": the library's default
  std::string cpus;      // "": the library's default
  bool verbose = false;
  bool json = false;
};

void add_common_options(CLI::App& command, CommonOptions& options);
void add_json_option(CLI::App& command, CommonOptions& options);

// Checks --weights stored|float32|bfloat16.
void add_weights_option(CLI::App& command, std::string& weights);
mox_weights weights_called(const std::string& name);

// Checks --storage auto|plain|compact.
const std::vector<std::string>& storage_names();
void add_storage_option(CLI::App& command, std::string& storage);
mox_storage storage_called(const std::string& name);

// With --verbose, prints the kernel table on stderr.
Runtime open_runtime(const CommonOptions& options);

// The same with another backend.
Runtime open_runtime(const CommonOptions& options, const std::string& backend);

// The level or backend of this name; UsageError lists those there are.
mox_isa isa_called(const std::string& name);
mox_backend backend_called(const std::string& name);

// The kernel table as text: names, and why each is skipped.
std::string kernel_table(const mox_runtime* runtime);

}  // namespace moxie::cli
