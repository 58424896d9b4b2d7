#include "cli/parity/compare.h"

#include <algorithm>
#include <cmath>

namespace moxie::cli::parity {
namespace {

void compare_integers(const std::vector<int64_t>& value, const std::vector<int64_t>& truth, Comparison& comparison) {
  for (size_t i = 0; i < truth.size(); ++i) comparison.differ += value[i] != truth[i];
  comparison.pass = comparison.differ == 0;
}

// A truth of zeros is measured absolutely.
void compare_reals(const std::vector<double>& value, const std::vector<double>& truth, Comparison& comparison) {
  double error = 0, norm = 0, largest = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const double difference = std::abs(value[i] - truth[i]);
    error += difference * difference;
    norm += truth[i] * truth[i];
    largest = std::isnan(difference) || std::isnan(largest) ? NAN : std::max(largest, difference);
  }
  const double rms = truth.empty() ? 0 : std::sqrt(norm / static_cast<double>(truth.size()));
  comparison.relative_l2 = std::sqrt(error) / (norm > 0 ? std::sqrt(norm) : 1);
  comparison.max_over_rms = largest / (rms > 0 ? rms : 1);
  // Written so that a NaN fails.
  comparison.pass = comparison.relative_l2 <= comparison.limit.relative_l2 &&
                    comparison.max_over_rms <= comparison.limit.max_over_rms;
}

}  // namespace

Comparison compare(const Output& output, const Value& value, const Tensor& truth) {
  Comparison comparison;
  comparison.output = output.name;
  comparison.limit = output.limit;
  comparison.count = truth.count();
  if (truth.is_integer() != output.limit.equal) {
    throw NotRun("output '" + output.name + "' is stored as " + mox_dtype_name(truth.dtype) +
                 ", which does not fit its limit");
  }
  if (value.is_integer != truth.is_integer()) {
    throw NotRun("output '" + output.name + "' is stored as " + mox_dtype_name(truth.dtype) + ", expected " +
                 (value.is_integer ? "integers" : "a floating-point type"));
  }
  if (value.shape != truth.shape) {
    comparison.complaint = "shape " + shape_text(value.shape) + ", expected " + shape_text(truth.shape);
    return comparison;
  }
  if (value.is_integer) {
    compare_integers(value.integers, truth.integers(), comparison);
  } else {
    compare_reals(value.reals, truth.reals(), comparison);
  }
  return comparison;
}

}  // namespace moxie::cli::parity
