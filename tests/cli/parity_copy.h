// A copy of a bundled parity case that a test may spoil.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "program.h"

namespace moxie::test {

std::string parity_case(const std::string& name);

class ParityCopy {
 public:
  explicit ParityCopy(const std::string& name);

  nlohmann::json meta;  // case.json, with absolute paths; written by run()

  // Adds one to the first element of a tensor of expected.safetensors.
  void disturb(const std::string& tensor);

  // Leaves a tensor out of expected.safetensors by calling it something else.
  void rename(const std::string& tensor, const std::string& name);

  std::string folder() const { return folder_.path().string(); }

  Finished run(const std::vector<std::string>& more = {});

 private:
  TemporaryFolder folder_;
};

}  // namespace moxie::test
