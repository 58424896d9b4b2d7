// Figures as they are reported: what was measured many times, by its median and its reach.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

namespace moxie::cli::bench {

using Samples = std::vector<double>;

// Of a non-empty list; the mean of the two in the middle of an even one.
double median(Samples samples);

struct Spread {
  double median = 0, min = 0, max = 0;
};

Spread spread_of(const Samples& samples);

// {"median": .., "min": .., "max": ..}
void to_json(nlohmann::json& json, const Spread& spread);

// The median of times[i] / base[i]: of pairs that were measured side by side.
double median_ratio(const Samples& times, const Samples& base);

// What the machine could do beside a call.
struct Limits {
  double gflops = 0;
  double read_gbs = 0;
};

// How much of the limits beside it a call reached; 1: all.
struct Fractions {
  double arithmetic = 0;  // operations over time, of the arithmetic limit
  double bandwidth = 0;   // weight bytes over time, of the read bandwidth
  double roofline = 0;    // the time the nearer limit allows, of the time taken
};

void to_json(nlohmann::json& json, const Fractions& fractions);

struct TimedCall {
  double milliseconds = 0;
  double weight_bytes = 0;
  Limits beside;  // the mean of what was measured before and after
};

// What came of many calls of the same kind.
struct CallFigures {
  Spread milliseconds;
  size_t calls = 0;
  double gflops = 0;  // this and what follows: the median over the calls
  double weight_gbs = 0;
  Fractions of_limits;
  Limits limits;
};

// operations: of one call.
CallFigures figures_of(const std::vector<TimedCall>& calls, double operations);

}  // namespace moxie::cli::bench
