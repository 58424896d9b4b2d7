// moxie parity: runs cases that say what a reference implementation computed, and compares.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "cli/failure.h"
#include "cli/parity/case.h"
#include "cli/parity/compare.h"
#include "cli/parity/kinds.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace moxie::cli {
namespace {

using parity::Case;
using parity::Comparison;
using parity::NotRun;

struct ParityOptions {
  CommonOptions common;
  std::vector<std::string> folders;
  bool quiet = false;
};

enum class Verdict { kPass, kFail, kNotRun };

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "pass";
    case Verdict::kFail:
      return "FAIL";
    default:
      return "not run";
  }
}

struct Outcome {
  std::string folder;
  std::string name;
  Verdict verdict = Verdict::kPass;
  std::string reason;  // where the comparisons do not say it
  std::vector<Comparison> comparisons;
};

parity::Values run_case(const Case& c, const Runtime& runtime) {
  if (c.kind == "feed_forward") return run_feed_forward(c, runtime);
  if (c.kind == "moe_layer") return run_moe_layer(c, runtime);
  if (c.kind == "block") return run_block(c, runtime);
  if (c.kind == "model") return run_model(c, runtime);
  if (c.kind == "router_loss") return run_router_loss(c, runtime);
  if (c.kind == "train") throw NotRun("not supported yet: kind 'train' needs gradients, and this library only infers");
  throw NotRun("the kind '" + c.kind + "' is not known");
}

Outcome check(const std::string& folder, const Runtime& runtime) {
  Outcome outcome{folder, folder, Verdict::kPass, {}, {}};
  try {
    const Case c(folder);
    outcome.name = c.name;
    const auto values = run_case(c, runtime);
    for (const auto& output : c.outputs) {
      const auto value = values.find(output.name);
      if (value == values.end()) {
        throw NotRun("the output '" + output.name + "' is not known for this case of kind '" + c.kind + "'");
      }
      outcome.comparisons.push_back(compare(output, value->second, c.expected(output.name)));
      if (!outcome.comparisons.back().pass) outcome.verdict = Verdict::kFail;
    }
  } catch (const NotRun& error) {
    outcome.verdict = Verdict::kNotRun;
    outcome.reason = error.what();
  } catch (const Refused& error) {
    outcome.verdict = error.status() == MOX_UNSUPPORTED ? Verdict::kNotRun : Verdict::kFail;
    outcome.reason = (error.status() == MOX_UNSUPPORTED ? "not supported yet: " : "") + std::string(error.what());
  } catch (const Failure& error) {
    outcome.verdict = Verdict::kNotRun;
    outcome.reason = error.what();
  }
  return outcome;
}

std::string figures(const Comparison& comparison) {
  if (!comparison.complaint.empty()) return comparison.complaint;
  if (comparison.limit.equal) {
    return std::to_string(comparison.differ) + " of " + std::to_string(comparison.count) + " differ";
  }
  return "relative_l2 " + scientific(comparison.relative_l2, 2) + " (limit " +
         scientific(comparison.limit.relative_l2, 2) + ")  max_over_rms " + scientific(comparison.max_over_rms, 2) +
         " (limit " + scientific(comparison.limit.max_over_rms, 2) + ")";
}

void print(const Outcome& outcome, bool coloured) {
  const char* colour = outcome.verdict == Verdict::kPass ? "\033[32m" : "\033[31m";
  std::printf("%s%s%s %s%s%s\n", coloured ? colour : "", verdict_name(outcome.verdict), coloured ? "\033[0m" : "",
              outcome.name.c_str(), outcome.reason.empty() ? "" : ": ", outcome.reason.c_str());
  Table table({});
  for (const auto& comparison : outcome.comparisons) {
    table.add({"   ", comparison.output, comparison.pass ? "pass" : "FAIL", figures(comparison)});
  }
  const auto text = table.text();
  std::fputs(text.c_str() + 1, stdout);  // without the empty heading
}

nlohmann::json as_json(const Outcome& outcome) {
  nlohmann::json json{{"case", outcome.name},
                      {"folder", outcome.folder},
                      {"verdict", outcome.verdict == Verdict::kFail ? "fail" : verdict_name(outcome.verdict)},
                      {"reason", outcome.reason},
                      {"outputs", nlohmann::json::array()}};
  for (const auto& comparison : outcome.comparisons) {
    nlohmann::json output{{"name", comparison.output}, {"pass", comparison.pass}};
    if (!comparison.complaint.empty()) {
      output["complaint"] = comparison.complaint;
    } else if (comparison.limit.equal) {
      output["differ"] = comparison.differ;
      output["count"] = comparison.count;
    } else {
      output["relative_l2"] = comparison.relative_l2;
      output["max_over_rms"] = comparison.max_over_rms;
      output["limit"] = {{"relative_l2", comparison.limit.relative_l2},
                         {"max_over_rms", comparison.limit.max_over_rms}};
    }
    json["outputs"].push_back(std::move(output));
  }
  return json;
}

int run_parity(const ParityOptions& options) {
  const auto runtime = open_runtime(options.common);
  const bool coloured = colours(stdout);
  int64_t count[3] = {0, 0, 0};
  auto json = nlohmann::json::array();
  for (const auto& folder : options.folders) {
    const auto outcome = check(folder, runtime);
    ++count[static_cast<int>(outcome.verdict)];
    if (options.common.json) {
      json.push_back(as_json(outcome));
    } else if (!options.quiet || outcome.verdict != Verdict::kPass) {
      print(outcome, coloured);
    }
  }
  const auto passed = count[0], failed = count[1], not_run = count[2];
  if (options.common.json) {
    std::puts(json.dump(2).c_str());
  } else {
    std::printf("%lld passed, %lld failed, %lld not run\n", static_cast<long long>(passed),
                static_cast<long long>(failed), static_cast<long long>(not_run));
  }
  return failed > 0 ? kFailed : not_run > 0 ? kUsage : kSuccess;
}

}  // namespace

void add_parity(CLI::App& application, Run& run) {
  auto options = std::make_shared<ParityOptions>();
  auto* command = application.add_subcommand("parity", "Check this machine's results against a reference's");
  command->add_option("CASE_DIR", options->folders, "Folders of cases (case.json, inputs and expected.safetensors)")
      ->required()
      ->type_name("");
  command->add_flag("--quiet", options->quiet, "Print only cases that do not pass, and the summary");
  add_json_option(*command, options->common);
  add_common_options(*command, options->common);
  command->footer(
      "Exit status: 0 all pass; 1 any fails; else 2 where a case could not be run.\n\n"
      "Examples:\n"
      "  moxie parity cases/model-nine-right-float32\n"
      "  moxie parity --quiet --backend reference --threads 1 cases/*");
  command->callback([options, &run] { run = [options] { return run_parity(*options); }; });
}

}  // namespace moxie::cli
