// What happens to a refusal: the first is thrown, or all are collected.
#pragma once

#include <string>
#include <vector>

#include "runtime/error.h"

namespace moxie::adapter {

class Refusals {
 public:
  Refusals() = default;
  explicit Refusals(std::vector<std::string>* list) : list_(list) {}

  // Runs one check; where refusals are collected, goes on after it fails.
  template <typename Check>
  void attempt(Check&& check) const {
    if (list_ == nullptr) {
      check();
      return;
    }
    try {
      check();
    } catch (const Error& error) {
      list_->emplace_back(error.what());
    }
  }

 private:
  std::vector<std::string>* list_ = nullptr;
};

}  // namespace moxie::adapter
