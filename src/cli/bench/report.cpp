#include "cli/bench/report.h"

#include <cstdio>

#include "cli/bench/caches.h"
#include "cli/memory.h"
#include "cli/table.h"

namespace moxie::cli::bench {

nlohmann::json machine_json(const Runtime& runtime) {
  const auto info = describe<mox_runtime_info>(mox_runtime_describe, runtime);
  return {{"cpu", info.cpu},         {"isa", mox_isa_name(info.isa)}, {"threads", info.threads},
          {"l1_bytes", caches().l1}, {"l2_bytes", caches().l2},       {"cache_bytes", caches().total}};
}

std::string machine_text(const Runtime& runtime) {
  const auto info = describe<mox_runtime_info>(mox_runtime_describe, runtime);
  return std::string(info.cpu) + ", " + std::to_string(info.threads) +
         (info.threads == 1 ? " thread, " : " threads, ") + bytes_text(static_cast<double>(caches().total)) +
         " of caches";
}

WeightsReport weights_report(const std::vector<Contender>& contenders, const FfnShape& shape, int64_t resident_before) {
  WeightsReport report;
  for (const auto& contender : contenders) report.bytes += contender.weight_bytes;
  report.resident_bytes = resident_memory() - resident_before;
  report.fit_caches = shape.experts * shape.expert_bytes() <= caches().total;
  return report;
}

std::string WeightsReport::text() const {
  return "weights " + bytes_text(static_cast<double>(bytes)) + ", resident " +
         bytes_text(static_cast<double>(resident_bytes)) +
         (fit_caches ? "; one copy of the weights fits the caches: GB/s says nothing of memory" : "");
}

void to_json(nlohmann::json& json, const WeightsReport& report) {
  json = {{"bytes", report.bytes}, {"resident_bytes", report.resident_bytes}, {"fit_caches", report.fit_caches}};
}

void state_memory(int64_t weights, int64_t rows, int64_t limits, const std::string& rows_for) {
  std::fprintf(stderr, "memory: %s of weights, about %s for %s, %s to measure the limits\n",
               bytes_text(static_cast<double>(weights)).c_str(), bytes_text(static_cast<double>(rows)).c_str(),
               rows_for.c_str(), bytes_text(static_cast<double>(limits)).c_str());
  require_memory(weights + rows + limits, "this benchmark");
}

void print_json(const nlohmann::json& json) { std::puts(json.dump(2).c_str()); }

std::string percent(double fraction) { return fixed(100 * fraction, 1) + " %"; }

}  // namespace moxie::cli::bench
