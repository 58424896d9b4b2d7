#include "cli/expert_usage.h"

#include <algorithm>

#include "cli/terminal.h"

namespace moxie::cli {
namespace {

constexpr size_t kWindowsPerCall = 16;

// Adds what the routers of one layer decided in one range.
class Counter {
 public:
  void add(const Routing& routing, int64_t layer, int64_t range) {
    const auto info = describe<mox_routing_info>(mox_routing_describe, routing, layer, range);
    if (info.routers == 0) return;
    const auto per_router = static_cast<size_t>(info.rows) * static_cast<size_t>(info.places);
    std::vector<int32_t> experts(per_router * static_cast<size_t>(info.routers));
    std::vector<float> weights(experts.size());
    call(mox_routing_read, routing.get(), layer, range, nullptr, experts.data(), weights.data());
    for (int32_t router = 0; router < info.routers; ++router) {
      const char* name = nullptr;
      call(mox_routing_router_name, routing.get(), layer, range, router, &name);
      auto& usage = of(layer, name, info);
      for (size_t i = 0; i < per_router; ++i) {
        const auto place = static_cast<size_t>(router) * per_router + i;
        if (experts[place] < 0) continue;
        usage.share[static_cast<size_t>(experts[place])] += 1;
        usage.weight[static_cast<size_t>(experts[place])] += static_cast<double>(weights[place]);
      }
    }
  }

  std::vector<RouterUsage> shares(size_t tokens) {
    for (auto& usage : usages_) {
      for (auto& share : usage.share) share /= static_cast<double>(tokens);
      for (auto& weight : usage.weight) weight /= static_cast<double>(tokens);
      usage.takes_all = std::all_of(usage.share.begin(), usage.share.end(), [](double share) { return share == 1; });
    }
    return std::move(usages_);
  }

 private:
  RouterUsage& of(int64_t layer, const std::string& router, const mox_routing_info& info) {
    for (auto& usage : usages_) {
      if (usage.layer == layer && usage.router == router) return usage;
    }
    const auto experts = static_cast<size_t>(info.experts);
    return usages_.emplace_back(
        RouterUsage{layer, router, false, std::vector<double>(experts), std::vector<double>(experts)});
  }

  std::vector<RouterUsage> usages_;
};

}  // namespace

std::vector<RouterUsage> measure_usage(const LoadedModel& loaded, const mox_adapter* adapter, const Windows& windows) {
  Counter counter;
  Progress progress(windows.name, static_cast<int64_t>(windows.rows.size()));
  size_t tokens = 0;
  for (size_t at = 0; at < windows.rows.size(); at += kWindowsPerCall) {
    const size_t count = std::min(kWindowsPerCall, windows.rows.size() - at);
    std::vector<Sequence> sequences;
    std::vector<mox_step> steps;
    for (size_t i = at; i < at + count; ++i) {
      sequences.push_back(make<Sequence>(mox_sequence_create, loaded.model.get(), nullptr));
      const auto& row = windows.rows[i];
      steps.push_back({sequences.back().get(), adapter, row.data(), static_cast<int64_t>(row.size()), nullptr, 0, 0});
      tokens += row.size();
    }
    const auto routing = make<Routing>(mox_model_step, loaded.model.get(), steps.data(), steps.size());
    for (int64_t layer = 0; layer < mox_routing_layers(routing.get()); ++layer) {
      for (int64_t range = 0; range < mox_routing_ranges(routing.get()); ++range) counter.add(routing, layer, range);
    }
    progress.advance(static_cast<int64_t>(count));
  }
  return counter.shares(tokens);
}

}  // namespace moxie::cli
