// moxie info: what a checkpoint or adapter is, and whether it would be accepted.
#include <map>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "cli/failure.h"
#include "cli/table.h"
#include "cli/tensors.h"
#include "cli/terminal.h"

namespace moxie::cli {
namespace {

struct InfoOptions {
  CommonOptions common;
  std::string path;
  bool tensors = false;
};

const char* kind_name(mox_file_kind kind) {
  switch (kind) {
    case MOX_FILE_CHECKPOINT:
      return "checkpoint";
    case MOX_FILE_ADAPTER:
      return "adapter";
    default:
      return "tensor file";
  }
}

// Everything there is to say, read once.
struct Facts {
  mox_file_info info{};
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<std::string> problems;
  std::vector<mox_tensor_info> tensors;
  std::map<std::string, int64_t> bytes_of_dtype;
};

Facts read(const File& file) {
  Facts facts;
  facts.info = describe<mox_file_info>(mox_file_describe, file);
  const char *name = nullptr, *value = nullptr;
  for (int64_t i = 0; mox_file_setting(file.get(), i, &name, &value, nullptr) == MOX_OK; ++i) {
    facts.settings.emplace_back(name, value);
  }
  for (int64_t i = 0; i < facts.info.problems; ++i) {
    const char* problem = nullptr;
    call(mox_file_problem, file.get(), i, &problem);
    facts.problems.emplace_back(problem);
  }
  for (int64_t i = 0; i < facts.info.tensors; ++i) {
    facts.tensors.push_back(describe<mox_tensor_info>(mox_file_tensor, file, i));
    facts.bytes_of_dtype[mox_dtype_name(facts.tensors.back().dtype)] += facts.tensors.back().bytes;
  }
  return facts;
}

std::string shape_of(const mox_tensor_info& tensor) {
  return shape_text({tensor.shape, tensor.shape + tensor.dimensions});
}

nlohmann::json as_json(const Facts& facts, const InfoOptions& options) {
  nlohmann::json json{{"path", options.path},
                      {"kind", kind_name(facts.info.kind)},
                      {"family", facts.info.family},
                      {"format", facts.info.format},
                      {"parameters", facts.info.parameters},
                      {"bytes", facts.info.bytes},
                      {"tensor_count", facts.info.tensors},
                      {"bytes_of_dtype", facts.bytes_of_dtype},
                      {"settings", nlohmann::json::object()},
                      {"problems", facts.problems}};
  for (const auto& [name, value] : facts.settings) json["settings"][name] = value;
  if (!options.tensors) return json;
  json["tensors"] = nlohmann::json::array();
  for (const auto& tensor : facts.tensors) {
    json["tensors"].push_back({{"name", tensor.name},
                               {"file", tensor.file},
                               {"dtype", mox_dtype_name(tensor.dtype)},
                               {"shape", std::vector<int64_t>(tensor.shape, tensor.shape + tensor.dimensions)},
                               {"bytes", tensor.bytes}});
  }
  return json;
}

void print(const Facts& facts, const InfoOptions& options) {
  const bool coloured = colours(stdout);
  std::printf("%s\n", bold(options.path, coloured).c_str());
  Table table({"kind", kind_name(facts.info.kind)});
  if (*facts.info.family) table.add({"family", facts.info.family});
  if (*facts.info.format) table.add({"format", facts.info.format});
  table.add({"parameters", std::to_string(facts.info.parameters)});
  table.add({"size", bytes_text(static_cast<double>(facts.info.bytes)) + " in " + std::to_string(facts.info.tensors) +
                         " tensors"});
  for (const auto& [dtype, bytes] : facts.bytes_of_dtype) {
    table.add({"  " + dtype, bytes_text(static_cast<double>(bytes))});
  }
  for (const auto& [name, value] : facts.settings) table.add({name, value});
  std::fputs(table.text().c_str(), stdout);
  if (options.tensors) {
    Table list({"tensor", "dtype", "shape", "bytes", "file"});
    for (const auto& tensor : facts.tensors) {
      list.add(
          {tensor.name, mox_dtype_name(tensor.dtype), shape_of(tensor), std::to_string(tensor.bytes), tensor.file});
    }
    std::printf("\n%s", list.text().c_str());
  }
  for (const auto& problem : facts.problems) std::printf("would be refused: %s\n", problem.c_str());
}

int info(const InfoOptions& options) {
  if (options.common.verbose) open_runtime(options.common);
  const auto file = make<File>(mox_file_open, options.path.c_str());
  const auto facts = read(file);
  if (options.common.json) {
    std::puts(as_json(facts, options).dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    print(facts, options);
  }
  return facts.problems.empty() ? kSuccess : kFailed;
}

}  // namespace

void add_info(CLI::App& application, Run& run) {
  auto options = std::make_shared<InfoOptions>();
  auto* command = application.add_subcommand("info", "Describe a checkpoint, an adapter or a tensor file");
  command->add_option("PATH", options->path, "A folder, or a .safetensors or torch archive file")
      ->required()
      ->type_name("");
  command->add_flag("--tensors", options->tensors, "List the tensors");
  add_json_option(*command, options->common);
  add_common_options(*command, options->common);
  command->footer(
      "Nothing is loaded or executed. The exit status is 1 where loading would be refused; the reasons are printed.\n\n"
      "Examples:\n"
      "  moxie info tiny-llama\n"
      "  moxie info kjv-mixlora --tensors\n"
      "  moxie info downloaded-adapter --json");
  command->callback([options, &run] { run = [options] { return info(*options); }; });
}

}  // namespace moxie::cli
