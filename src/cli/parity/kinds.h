// How each kind of case is run.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/handles.h"
#include "cli/parity/case.h"

namespace moxie::cli::parity {

// What we computed under one output's name: either reals or integers.
struct Value {
  std::vector<int64_t> shape;
  bool is_integer = false;
  std::vector<double> reals;
  std::vector<int64_t> integers;
};

template <typename T>
Value reals(std::vector<int64_t> shape, const std::vector<T>& values) {
  return {std::move(shape), false, {values.begin(), values.end()}, {}};
}

template <typename T>
Value integers(std::vector<int64_t> shape, const std::vector<T>& values) {
  return {std::move(shape), true, {}, {values.begin(), values.end()}};
}

using Values = std::map<std::string, Value>;

Values run_feed_forward(const Case& c, const Runtime& runtime);
Values run_moe_layer(const Case& c, const Runtime& runtime);
Values run_block(const Case& c, const Runtime& runtime);
Values run_model(const Case& c, const Runtime& runtime);
Values run_router_loss(const Case& c, const Runtime& runtime);

}  // namespace moxie::cli::parity
