// The tests, or a child of theirs:
//   open FOLDER CACHE map|read          opens with that packed cache, prints the bits of the logits
//   peak FOLDER read|map CACHE|- map|read   opens, prints weight bytes and by how much the resident memory grew at most
#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <string>

#include "cache/opened.h"

namespace {

using moxie::test::CacheOptions;

// VmHWM or VmRSS of this process, bytes.
int64_t status_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stoll(line.substr(field.size() + 1)) * 1024;
  }
  throw std::runtime_error("no " + field);
}

int child(const std::vector<std::string>& arguments) {
  CacheOptions options;
  const std::string& folder = arguments.at(1);
  if (arguments[0] == "open") {
    options = {MOX_PACKED_CACHE_READ_WRITE, arguments.at(3) == "map", arguments.at(2)};
    for (const uint32_t bits : moxie::test::open_and_run(folder, options).logits) std::cout << bits << " ";
    return 0;
  }
  options.map_files = arguments.at(2) == "map";
  if (arguments.at(3) != "-") {
    options.mode = MOX_PACKED_CACHE_READ_WRITE;
    options.path = arguments[3];
    options.map = arguments.at(4) == "map";
  }
  const int64_t before = status_bytes("VmRSS");
  const auto opened = moxie::test::open_and_run(folder, options);
  std::cout << opened.weight_bytes << " " << status_bytes("VmHWM") - before;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && (arguments[0] == "open" || arguments[0] == "peak")) {
    try {
      return child(arguments);
    } catch (const std::exception& error) {
      std::cout << error.what();
      return 1;
    }
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
