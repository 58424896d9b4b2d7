#include "adapter/dora.h"

#include <cmath>

#include "runtime/error.h"

namespace moxie::adapter {
namespace {

// The norm of weight_row + scaling * b_row A, in double: published norms differ from the magnitudes by little, and
// their quotient is what counts.
double row_norm(const std::vector<float>& weight_row, const float* b_row, const Factors& pair, int64_t rank,
                double scaling, std::vector<double>* scratch) {
  const size_t in = weight_row.size();
  double* sum = scratch->data();
  for (size_t column = 0; column < in; ++column) sum[column] = weight_row[column];
  for (int64_t j = 0; j < rank; ++j) {
    const double factor = scaling * b_row[j];
    const float* a_row = pair.a.data() + static_cast<size_t>(j) * in;
    for (size_t column = 0; column < in; ++column) sum[column] += factor * a_row[column];
  }
  double squares = 0;
  for (size_t column = 0; column < in; ++column) squares += sum[column] * sum[column];
  return std::sqrt(squares);
}

}  // namespace

std::vector<std::vector<float>> dora_rescale(const LinearFactors& factors, const kernels::PackedMatrix& weight,
                                             mox_status status) {
  const auto out = static_cast<size_t>(factors.out);
  const auto rank = static_cast<size_t>(factors.rank);
  std::vector<std::vector<float>> rescale(factors.pairs.size(), std::vector<float>(out, 1.0F));
  std::vector<float> weight_row(static_cast<size_t>(factors.in));
  std::vector<double> scratch(weight_row.size());
  for (size_t row = 0; row < out; ++row) {
    weight.read_row(static_cast<int64_t>(row), weight_row.data());
    for (size_t index = 0; index < factors.pairs.size(); ++index) {
      const Factors& pair = factors.pairs[index];
      if (pair.magnitude.empty()) continue;
      const double norm = row_norm(weight_row, pair.b.data() + row * rank, pair, factors.rank,
                                   static_cast<double>(factors.scaling), &scratch);
      rescale[index][row] = static_cast<float>(static_cast<double>(pair.magnitude[row]) / norm);
      if (std::isfinite(rescale[index][row])) continue;
      const std::string expert = factors.pairs.size() > 1 ? " of expert " + std::to_string(index) : "";
      throw Error(status, factors.where + ": magnitude " + std::to_string(pair.magnitude[row]) + expert + " in row " +
                              std::to_string(row) + " over a norm of W + scaling * B A that is " +
                              std::to_string(norm) + "; expected a quotient that float32 can hold");
    }
  }
  return rescale;
}

}  // namespace moxie::adapter
