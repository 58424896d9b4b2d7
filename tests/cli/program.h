// Runs the built program and keeps what it wrote.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace moxie::test {

struct Finished {
  int status = -1;  // exit status; 128 + signal where it was killed
  std::string output, errors;

  // The output as JSON; throws where it is none.
  nlohmann::json json() const { return nlohmann::json::parse(output); }
};

Finished run_program(const std::vector<std::string>& arguments);

// A new folder that goes away with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& text);

// A bundled model, adapter or text.
std::string bundled(const std::string& name);

}  // namespace moxie::test
