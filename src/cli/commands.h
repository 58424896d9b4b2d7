// The commands. Each adds itself to the application; when it is the one asked for, it puts its work into `run`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace moxie::cli {

using Run = std::function<int()>;

void add_bench(CLI::App& application, Run& run);
void add_generate(CLI::App& application, Run& run);
void add_info(CLI::App& application, Run& run);
void add_kernels(CLI::App& application, Run& run);
void add_parity(CLI::App& application, Run& run);
void add_perplexity(CLI::App& application, Run& run);
void add_routes(CLI::App& application, Run& run);

}  // namespace moxie::cli
