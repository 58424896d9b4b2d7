// What reports have in common.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/bench/contenders.h"
#include "cli/bench/layer_options.h"

namespace moxie::cli::bench {

// The processor, its threads in use and its caches.
nlohmann::json machine_json(const Runtime& runtime);

// The same as a line: "AMD EPYC, 2 threads, 34.60 MB of caches".
std::string machine_text(const Runtime& runtime);

// Weights as they are held, what the process grew by for them, and whether caches could hold them.
struct WeightsReport {
  int64_t bytes = 0;
  int64_t resident_bytes = 0;
  bool fit_caches = false;

  std::string text() const;
};

WeightsReport weights_report(const std::vector<Contender>& contenders, const FfnShape& shape, int64_t resident_before);

void to_json(nlohmann::json& json, const WeightsReport& report);

// What the bytes are needed for, on stderr; Failure where there are not as many.
void state_memory(int64_t weights, int64_t rows, int64_t limits, const std::string& rows_for);

void print_json(const nlohmann::json& json);

// 0.931 -> "93.1 %"
std::string percent(double fraction);

}  // namespace moxie::cli::bench
