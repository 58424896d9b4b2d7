#include "cli/bench/figures.h"

#include <algorithm>
#include <utility>

namespace moxie::cli::bench {

double median(Samples samples) {
  std::sort(samples.begin(), samples.end());
  const size_t half = samples.size() / 2;
  return samples.size() % 2 ? samples[half] : (samples[half - 1] + samples[half]) / 2;
}

Spread spread_of(const Samples& samples) {
  const auto [least, most] = std::minmax_element(samples.begin(), samples.end());
  return {median(samples), *least, *most};
}

void to_json(nlohmann::json& json, const Spread& spread) {
  json = {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

double median_ratio(const Samples& times, const Samples& base) {
  Samples ratios;
  for (size_t i = 0; i < times.size(); ++i) ratios.push_back(times[i] / base[i]);
  return median(std::move(ratios));
}

void to_json(nlohmann::json& json, const Fractions& fractions) {
  json = {{"arithmetic", fractions.arithmetic}, {"bandwidth", fractions.bandwidth}, {"roofline", fractions.roofline}};
}

CallFigures figures_of(const std::vector<TimedCall>& calls, double operations) {
  Samples milliseconds, gflops, weight_gbs, arithmetic, bandwidth, roofline, gflops_limit, read_limit;
  for (const auto& call : calls) {
    milliseconds.push_back(call.milliseconds);
    gflops.push_back(operations / call.milliseconds / 1e6);
    weight_gbs.push_back(call.weight_bytes / call.milliseconds / 1e6);
    arithmetic.push_back(gflops.back() / call.beside.gflops);
    bandwidth.push_back(weight_gbs.back() / call.beside.read_gbs);
    roofline.push_back(std::max(arithmetic.back(), bandwidth.back()));
    gflops_limit.push_back(call.beside.gflops);
    read_limit.push_back(call.beside.read_gbs);
  }
  CallFigures figures;
  figures.milliseconds = spread_of(milliseconds);
  figures.calls = calls.size();
  figures.gflops = median(gflops);
  figures.weight_gbs = median(weight_gbs);
  figures.of_limits = {median(arithmetic), median(bandwidth), median(roofline)};
  figures.limits = {median(gflops_limit), median(read_limit)};
  return figures;
}

}  // namespace moxie::cli::bench
