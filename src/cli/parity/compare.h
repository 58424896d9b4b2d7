// Our values against the truth.
#pragma once

#include <string>

#include "cli/parity/case.h"
#include "cli/parity/kinds.h"

namespace moxie::cli::parity {

struct Comparison {
  std::string output;
  Limit limit;
  bool pass = false;
  std::string complaint;  // "": the figures below say it all
  int64_t differ = 0;     // integers: how many differ
  int64_t count = 0;
  double relative_l2 = 0;   // ||value - truth|| / ||truth||
  double max_over_rms = 0;  // max |value - truth| / rms(truth)
};

// Throws NotRun where the limit does not fit the type of the truth.
Comparison compare(const Output& output, const Value& value, const Tensor& truth);

}  // namespace moxie::cli::parity
