#include "adapter/dora.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "runtime/error.h"

namespace moxie::adapter {
namespace {

float quotient(const LinearFactors& factors, size_t index, size_t row, double norm, mox_status status) {
  const float magnitude = factors.pairs[index].magnitude[row];
  const auto result = static_cast<float>(static_cast<double>(magnitude) / norm);
  if (std::isfinite(result)) return result;
  const std::string expert = factors.pairs.size() > 1 ? " of expert " + std::to_string(index) : "";
  throw Error(status, factors.where + ": magnitude " + std::to_string(magnitude) + expert + " in row " +
                          std::to_string(row) + " over a norm of W + scaling * B A that is " + std::to_string(norm) +
                          "; expected a quotient that float32 can hold");
}

}  // namespace

// In double: published norms differ from the magnitudes by little, and their quotient is what counts.
std::vector<std::vector<float>> dora_rescale(const LinearFactors& factors, const kernels::PackedMatrix& weight,
                                             const kernels::Kernels& table, mox_status status) {
  std::vector<std::vector<float>> rescale(factors.pairs.size(),
                                          std::vector<float>(static_cast<size_t>(factors.out), 1.0F));
  std::vector<float> weight_rows(static_cast<size_t>(kernels::panel_width * factors.in));
  std::array<double, kernels::panel_width> norms{};
  for (int64_t first = 0; first < factors.out; first += kernels::panel_width) {
    const int64_t rows = std::min(kernels::panel_width, factors.out - first);
    weight.read_panel(first / kernels::panel_width, weight_rows.data());
    for (size_t index = 0; index < factors.pairs.size(); ++index) {
      const Factors& pair = factors.pairs[index];
      if (pair.magnitude.empty()) continue;
      table.lora_norms({.w = weight_rows.data(),
                        .rows = rows,
                        .in = factors.in,
                        .a = pair.a.data(),
                        .b = pair.b.data() + first * factors.rank,
                        .rank = factors.rank,
                        .scaling = factors.scaling,
                        .norms = norms.data()});
      for (int64_t r = 0; r < rows; ++r) {
        const auto row = static_cast<size_t>(first + r);
        rescale[index][row] = quotient(factors, index, row, norms[static_cast<size_t>(r)], status);
      }
    }
  }
  return rescale;
}

}  // namespace moxie::adapter
