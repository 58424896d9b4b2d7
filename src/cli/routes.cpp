// moxie routes: the share of a text's tokens that each expert serves.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/expert_usage.h"
#include "cli/failure.h"
#include "cli/heat_map.h"
#include "cli/loaded_model.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/windows.h"

namespace moxie::cli {
namespace {

struct RoutesOptions {
  CommonOptions common;
  ModelOptions model;
  WindowOptions windows;
  std::string svg;
};

HeatMap heat_map(const std::vector<RouterUsage>& usages, const std::string& who, const Windows& windows) {
  const bool takes_all = std::all_of(usages.begin(), usages.end(), [](const auto& usage) { return usage.takes_all; });
  const bool one_each =
      std::all_of(usages.begin(), usages.end(), [](const auto& usage) { return usage.router == "mlp"; });
  HeatMap map;
  map.title = "Experts of " + who + ", text " + windows.name;
  map.subtitle = std::to_string(windows.rows.size()) + " windows of " + std::to_string(windows.rows.front().size()) +
                 " tokens" + (takes_all ? ", every expert serves every token" : "");
  map.row_axis = one_each ? "layer" : "layer and linear";
  map.column_axis = "expert";
  map.scale = takes_all ? "mean weight, %" : "share of tokens, %";
  for (const auto& usage : usages) {
    map.row_labels.push_back(std::to_string(usage.layer) + (one_each ? "" : " " + usage.router));
    auto& row = map.values.emplace_back();
    for (double value : takes_all ? usage.weight : usage.share) row.push_back(100 * value);
    while (map.column_labels.size() < row.size()) map.column_labels.push_back(std::to_string(map.column_labels.size()));
  }
  return map;
}

nlohmann::json as_json(const std::vector<RouterUsage>& usages, const RoutesOptions& options, const LoadedModel& loaded,
                       const Windows& windows) {
  nlohmann::json json{{"model", options.model.folder},
                      {"adapter", loaded.adapters.empty() ? nlohmann::json() : nlohmann::json(loaded.adapters[0].name)},
                      {"text", windows.name},
                      {"windows", windows.rows.size()},
                      {"routers", nlohmann::json::array()}};
  for (const auto& usage : usages) {
    json["routers"].push_back(
        {{"layer", usage.layer}, {"router", usage.router}, {"share", usage.share}, {"mean_weight", usage.weight}});
  }
  return json;
}

int routes(const RoutesOptions& options) {
  if (options.windows.texts.size() + options.windows.windows.size() != 1) {
    throw UsageError("give one --text FILE or one --windows FILE");
  }
  if (options.model.adapters.size() > 1) throw UsageError("give one --adapter");
  const auto loaded = load_model(options.common, options.model);
  const auto windows = read_windows(options.windows, options.model, loaded.info).front();
  const auto* adapter = loaded.adapters.empty() ? nullptr : loaded.adapters[0].handle.get();
  const auto usages = measure_usage(loaded, adapter, windows);
  if (usages.empty()) {
    throw Failure(loaded.adapters.empty()
                      ? options.model.folder + ": a dense model routes nothing by itself; give an adapter with experts"
                      : "the adapter '" + loaded.adapters[0].name + "' has no experts, and neither has the model");
  }
  const auto folder = std::filesystem::path(options.model.folder).lexically_normal();
  const auto model_name = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  const auto map = heat_map(usages, loaded.adapters.empty() ? model_name : loaded.adapters[0].name, windows);
  if (!options.svg.empty()) {
    std::ofstream file(options.svg, std::ios::binary);
    file << svg_text(map);
    file.close();
    if (!file) throw Failure(options.svg + ": cannot be written");
  }
  if (options.common.json) {
    std::puts(as_json(usages, options, loaded, windows).dump(2).c_str());
  } else {
    std::fputs(terminal_text(map, colours(stdout)).c_str(), stdout);
  }
  return kSuccess;
}

}  // namespace

void add_routes(CLI::App& application, Run& run) {
  auto options = std::make_shared<RoutesOptions>();
  auto* command = application.add_subcommand("routes", "Show the share of a text's tokens that each expert serves");
  add_model_options(*command, options->model);
  add_window_options(*command, options->windows);
  command->add_option("--svg", options->svg, "Write a heat map there as well")->type_name("FILE");
  add_json_option(*command, options->common);
  add_common_options(*command, options->common);
  command->footer(
      "Without --adapter, the experts of the model itself (Mixtral). An adapter with a router on each linear "
      "(LoRAMoE,\n"
      "MoLA) has a row for each. Where every expert serves every token (LoRAMoE), the mean weights are shown.\n\n"
      "Examples:\n"
      "  moxie routes --model tiny-mixtral --text kjv.txt\n"
      "  moxie routes --model tiny-llama --adapter kjv=kjv-mixlora --windows heldout/kjv.safetensors --svg kjv.svg");
  command->callback([options, &run] { run = [options] { return routes(*options); }; });
}

}  // namespace moxie::cli
