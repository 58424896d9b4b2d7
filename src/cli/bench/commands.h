// The commands under `moxie bench`.
#pragma once

#include "cli/commands.h"

namespace moxie::cli::bench {

void add_adapters(CLI::App& bench, Run& run);
void add_compare(CLI::App& bench, Run& run);
void add_ffn(CLI::App& bench, Run& run);
void add_machine(CLI::App& bench, Run& run);
void add_model(CLI::App& bench, Run& run);

}  // namespace moxie::cli::bench
