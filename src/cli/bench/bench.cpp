// moxie bench: how fast things run on this machine.
#include "cli/bench/commands.h"

namespace moxie::cli {

void add_bench(CLI::App& application, Run& run) {
  auto* command = application.add_subcommand("bench", "Measure speed on this machine");
  command->require_subcommand(1);
  bench::add_ffn(*command, run);
  bench::add_adapters(*command, run);
  bench::add_model(*command, run);
  bench::add_compare(*command, run);
  bench::add_machine(*command, run);
  command->footer(
      "Figures compare within one run: what is compared takes turns, call by call, and ratios are medians over the\n"
      "pairs. 'moxie bench machine' has the limits by themselves.\n\n"
      "Examples:\n"
      "  moxie bench ffn --preset mixtral-8x7b\n"
      "  moxie bench adapters --kinds lora,mixlora --tokens 1,512\n"
      "  moxie bench machine --json");
}

}  // namespace moxie::cli
