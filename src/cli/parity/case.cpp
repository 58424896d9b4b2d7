#include "cli/parity/case.h"

#include <algorithm>
#include <fstream>

namespace moxie::cli::parity {
namespace {

bool is_among(const std::string& name, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

nlohmann::json read_meta(const std::filesystem::path& folder) {
  const auto path = folder / "case.json";
  std::ifstream file(path);
  if (!file) throw NotRun(path.string() + ": cannot be read");
  try {
    auto meta = nlohmann::json::parse(file);
    if (!meta.is_object()) throw NotRun(path.string() + ": is no JSON object");
    return meta;
  } catch (const nlohmann::json::exception& error) {
    throw NotRun(path.string() + ": " + error.what());
  }
}

TensorFile open(const std::filesystem::path& path) {
  try {
    return TensorFile(path.string());
  } catch (const std::exception& error) {
    throw NotRun(path.string() + ": " + error.what());
  }
}

Limit read_limit(const std::string& output, const nlohmann::json& stated) {
  if (!stated.is_object() || !stated.contains("limit") || !stated["limit"].is_object()) {
    throw NotRun("output '" + output + "' states no limit");
  }
  for (const auto& [key, value] : stated.items()) {
    if (!is_among(key, {"limit", "reference"}))
      throw NotRun("output '" + output + "' has the unknown field '" + key + "'");
  }
  const auto& limit = stated["limit"];
  if (limit.size() == 1 && limit.contains("equal") && limit["equal"] == true) return {true, 0, 0};
  if (limit.size() == 2 && limit.contains("relative_l2") && limit["relative_l2"].is_number() &&
      limit.contains("max_over_rms") && limit["max_over_rms"].is_number()) {
    return {false, limit["relative_l2"].get<double>(), limit["max_over_rms"].get<double>()};
  }
  throw NotRun("output '" + output + "': the limit " + limit.dump() + " is not understood");
}

}  // namespace

Case::Case(const std::filesystem::path& folder)
    : name(folder.lexically_normal().has_filename() ? folder.filename().string()
                                                    : folder.lexically_normal().parent_path().filename().string()),
      folder_(folder),
      meta_(read_meta(folder)),
      inputs_(open(folder / "inputs.safetensors")),
      expected_(open(folder / "expected.safetensors")) {
  for (const auto& [key, value] : meta_.items()) {
    if (!is_among(key, {"format", "kind", "source", "note", "base", "layer", "dtype", "adapters", "batch", "options",
                        "outputs"})) {
      throw NotRun("case.json has the unknown field '" + key + "'");
    }
  }
  if (meta_.value("format", nlohmann::json()) != 1) {
    throw NotRun("case.json states the format " + meta_.value("format", nlohmann::json()).dump() + ", expected 1");
  }
  kind = read<std::string>(meta_.value("kind", nlohmann::json()), "field 'kind'");
  options_ = meta_.value("options", nlohmann::json::object());
  if (!options_.is_object()) throw NotRun("field 'options' is no object");
  read_ranges();
  read_outputs();
}

void Case::read_ranges() {
  const auto batch = meta_.value("batch", nlohmann::json::array());
  if (!batch.is_array()) throw NotRun("field 'batch' is no list");
  for (const auto& entry : batch) {
    if (!entry.is_object() || entry.size() != 3 || !entry.contains("adapter") || !entry.contains("begin") ||
        !entry.contains("end")) {
      throw NotRun("the batch entry " + entry.dump() + " is not understood");
    }
    CaseRange range;
    if (!entry["adapter"].is_null())
      range.adapter = read<std::string>(entry["adapter"], "field 'adapter' of the batch");
    range.begin = read<int64_t>(entry["begin"], "field 'begin' of the batch");
    range.end = read<int64_t>(entry["end"], "field 'end' of the batch");
    if (range.begin < 0 || range.end <= range.begin) throw NotRun("the batch entry " + entry.dump() + " is empty");
    ranges.push_back(range);
  }
}

void Case::read_outputs() {
  const auto stated = meta_.value("outputs", nlohmann::json());
  if (!stated.is_object() || stated.empty()) throw NotRun("case.json lists no outputs");
  for (const auto& [output, limits] : stated.items()) {
    if (!expected_.has(output)) throw NotRun("output '" + output + "' is not in expected.safetensors");
    outputs.push_back({output, read_limit(output, limits)});
  }
  for (const auto& tensor : expected_.names()) {
    if (!stated.contains(tensor))
      throw NotRun("expected.safetensors holds '" + tensor + "', which case.json does not list");
  }
}

std::string Case::base() const {
  const auto path =
      (folder_ / read<std::string>(meta_.value("base", nlohmann::json()), "field 'base'")).lexically_normal();
  if (!std::filesystem::is_directory(path)) throw NotRun("the base " + path.string() + " is not there");
  return path.string();
}

int32_t Case::layer() const { return read<int32_t>(meta_.value("layer", nlohmann::json()), "field 'layer'"); }

std::string Case::adapter_folder(const std::string& adapter) const {
  const auto adapters = meta_.value("adapters", nlohmann::json::object());
  if (!adapters.contains(adapter))
    throw NotRun("the batch asks for adapter '" + adapter + "', which case.json does not list");
  const auto path = (folder_ / read<std::string>(adapters[adapter], "adapter '" + adapter + "'")).lexically_normal();
  if (!std::filesystem::is_directory(path)) throw NotRun("the adapter " + path.string() + " is not there");
  return path.string();
}

void Case::understand(std::initializer_list<const char*> options, std::initializer_list<const char*> inputs) const {
  for (const auto& [option, value] : options_.items()) {
    if (!is_among(option, options)) throw NotRun("the option '" + option + "' is not known for kind '" + kind + "'");
  }
  for (const auto& input : inputs_.names()) {
    if (!is_among(input, inputs)) throw NotRun("the input '" + input + "' is not known for kind '" + kind + "'");
  }
}

void Case::expect_plain_base() const {
  if (ranges.size() != 1 || !ranges[0].adapter.empty()) {
    throw NotRun("kind '" + kind + "' takes one range, without an adapter");
  }
}

void Case::expect_sequences(int64_t sequences) const {
  auto in_order = ranges;
  std::sort(in_order.begin(), in_order.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  int64_t covered = 0;
  for (const auto& range : in_order) {
    if (range.begin != covered) throw NotRun("the batch does not cover sequence " + std::to_string(covered) + " once");
    covered = range.end;
  }
  if (covered != sequences) {
    throw NotRun("the batch covers " + std::to_string(covered) + " sequences, the inputs have " +
                 std::to_string(sequences));
  }
}

Tensor Case::input(const std::string& input, size_t dimensions) const {
  if (!inputs_.has(input)) throw NotRun("the input '" + input + "' is missing");
  auto tensor = inputs_.read(input);
  if (tensor.shape.size() != dimensions || tensor.count() == 0) {
    throw NotRun("the input '" + input + "' has the shape " + shape_text(tensor.shape) + ", expected " +
                 std::to_string(dimensions) + " dimensions");
  }
  return tensor;
}

}  // namespace moxie::cli::parity
