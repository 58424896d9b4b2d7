// The program `moxie`: a client of the public C headers.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <new>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/handles.h"

namespace {

using namespace moxie::cli;

// The deepest command that was named, for the hint.
std::string hint(const CLI::App& application) {
  const CLI::App* command = &application;
  std::string path = application.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    path += " " + command->get_name();
  }
  return "Try '" + path + " --help'.";
}

int complain(const std::string& message, int status) {
  std::fprintf(stderr, "moxie: %s\n", message.c_str());
  return status;
}

int work(int argc, char** argv) {
  Run run;
  CLI::App application(
      "Runs mixture-of-experts models and adapters on server CPUs: one frozen base, many adapters in one batch.",
      "moxie");
  application.set_version_flag("--version", std::string("moxie ") + mox_version());
  application.require_subcommand(1);
  add_generate(application, run);
  add_perplexity(application, run);
  add_routes(application, run);
  add_info(application, run);
  add_parity(application, run);
  add_bench(application, run);
  add_kernels(application, run);
  application.footer(
      "Exit status: 0 done; 1 it failed, or the answer is no; 2 the command line makes no sense, or (parity) a case "
      "could\n"
      "not be run.\n\n"
      "Examples:\n"
      "  moxie info tiny-llama\n"
      "  moxie generate --model tiny-llama --adapter kjv=kjv-mixlora --prompt \"kjv:And it came to pass\"\n"
      "  moxie generate --help");
  try {
    application.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return application.exit(error);
    // CLI11 misses the command before it looks at what was given in its place.
    const auto unknown = application.remaining(true);
    const bool no_command = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !unknown.empty();
    const std::string message = no_command ? "'" + unknown.front() + "' is no command" : error.what();
    return complain(message + "\n" + hint(application), kUsage);
  }
  try {
    return run();
  } catch (const UsageError& error) {
    return complain(std::string(error.what()) + "\n" + hint(application), kUsage);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int status = work(argc, argv);
    if (std::fflush(stdout) != 0) return complain("the output could not be written", kFailed);
    return status;
  } catch (const std::bad_alloc&) {
    return complain("there is not enough memory", kFailed);
  } catch (const std::exception& error) {
    return complain(error.what(), kFailed);
  }
}
