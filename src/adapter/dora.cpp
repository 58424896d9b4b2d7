#include "adapter/dora.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <string>

#include "runtime/error.h"
#include "runtime/parallel.h"

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

// Norms of the rows of each pair that has a magnitude. In double: published norms differ from the magnitudes by little,
// and their quotient is what counts.
std::vector<std::vector<double>> norms_of(const LinearFactors& factors, const kernels::PackedMatrix& weight,
                                          const NormMaker& maker) {
  std::vector<std::vector<double>> norms(factors.pairs.size());
  for (size_t index = 0; index < norms.size(); ++index) {
    if (!factors.pairs[index].magnitude.empty()) norms[index].resize(static_cast<size_t>(factors.out));
  }
  const int64_t panels = (factors.out + kernels::panel_width - 1) / kernels::panel_width;
  const int64_t parts = std::min<int64_t>(panels, int64_t{4} * maker.threads);
  // Helpers for one adapter at a time: a process may open any number at once.
  static std::mutex helpers;
  const std::unique_lock<std::mutex> helped(helpers, std::try_to_lock);
  parallel_for(helped.owns_lock() ? maker.threads : 1, parts, [&](int64_t part) {
    std::vector<float> rows(static_cast<size_t>(kernels::panel_width * factors.in));
    for (int64_t panel = panels * part / parts; panel < panels * (part + 1) / parts; ++panel) {
      weight.read_panel(panel, rows.data());
      const int64_t first = panel * kernels::panel_width;
      for (size_t index = 0; index < norms.size(); ++index) {
        if (norms[index].empty()) continue;
        const Factors& pair = factors.pairs[index];
        maker.kernels->lora_norms({.w = rows.data(),
                                   .rows = std::min(kernels::panel_width, factors.out - first),
                                   .in = factors.in,
                                   .a = pair.a.data(),
                                   .b = pair.b.data() + first * factors.rank,
                                   .rank = factors.rank,
                                   .scaling = factors.scaling,
                                   .norms = norms[index].data() + first});
      }
    }
  });
  return norms;
}

}  // namespace

std::vector<std::vector<float>> dora_rescale(const LinearFactors& factors, const kernels::PackedMatrix& weight,
                                             const NormMaker& maker, mox_status status) {
  const std::vector<std::vector<double>> norms = norms_of(factors, weight, maker);
  std::vector<std::vector<float>> rescale(factors.pairs.size(),
                                          std::vector<float>(static_cast<size_t>(factors.out), 1.0F));
  for (size_t index = 0; index < norms.size(); ++index) {
    for (size_t row = 0; row < norms[index].size(); ++row) {
      rescale[index][row] = quotient(factors, index, row, norms[index][row], status);
    }
  }
  return rescale;
}

}  // namespace moxie::adapter
