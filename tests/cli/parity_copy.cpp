#include "parity_copy.h"

#include <cstring>
#include <stdexcept>

namespace moxie::test {
namespace {

// A safetensors file in its two parts.
struct Parts {
  nlohmann::json header;
  std::string body;
};

Parts split(const std::string& file) {
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  return {nlohmann::json::parse(file.substr(sizeof length, length)), file.substr(sizeof length + length)};
}

std::string join(const Parts& parts) {
  const auto header = parts.header.dump();
  const uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + parts.body;
}

template <typename T>
void add_one(char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  value += 1;
  std::memcpy(bytes, &value, sizeof value);
}

}  // namespace

std::string parity_case(const std::string& name) { return std::string(MOXIE_TEST_DATA) + "/parity/cases/" + name; }

ParityCopy::ParityCopy(const std::string& name) {
  const std::filesystem::path original = parity_case(name);
  for (const char* file : {"inputs.safetensors", "expected.safetensors"}) {
    write_file(folder_ / file, read_file(original / file));
  }
  meta = nlohmann::json::parse(read_file(original / "case.json"));
  const auto absolute = [&](nlohmann::json& path) { path = (original / path.get<std::string>()).string(); };
  if (meta.contains("base")) absolute(meta["base"]);
  if (meta.contains("adapters")) {
    for (auto& adapter : meta["adapters"]) absolute(adapter);
  }
}

void ParityCopy::disturb(const std::string& tensor) {
  auto parts = split(read_file(folder_ / "expected.safetensors"));
  const auto& entry = parts.header.at(tensor);
  char* first = parts.body.data() + entry["data_offsets"][0].get<size_t>();
  if (entry["dtype"] == "F32") {
    add_one<float>(first);
  } else if (entry["dtype"] == "F64") {
    add_one<double>(first);
  } else if (entry["dtype"] == "I32") {
    add_one<int32_t>(first);
  } else if (entry["dtype"] == "I64") {
    add_one<int64_t>(first);
  } else {
    throw std::runtime_error(tensor + " is " + entry["dtype"].dump());
  }
  write_file(folder_ / "expected.safetensors", join(parts));
}

void ParityCopy::rename(const std::string& tensor, const std::string& name) {
  auto parts = split(read_file(folder_ / "expected.safetensors"));
  parts.header[name] = parts.header.at(tensor);
  parts.header.erase(tensor);
  write_file(folder_ / "expected.safetensors", join(parts));
}

Finished ParityCopy::run(const std::vector<std::string>& more) {
  write_file(folder_ / "case.json", meta.dump());
  std::vector<std::string> arguments{"parity", folder()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(arguments);
}

}  // namespace moxie::test
