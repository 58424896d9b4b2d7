#include "cli/parity/routing_rows.h"

namespace moxie::cli::parity {
namespace {

mox_routing_info info_of(const Routing& routing, int64_t layer, int64_t range) {
  return describe<mox_routing_info>(mox_routing_describe, routing, layer, range);
}

}  // namespace

int32_t router_count(const Routing& routing, int64_t layer, int64_t range) {
  return info_of(routing, layer, range).routers;
}

void RoutingRows::expect(int64_t experts, int64_t places) {
  if (rows_ > 0 && (experts != experts_ || places != places_)) {
    throw NotRun("routers of " + std::to_string(experts_) + " and of " + std::to_string(experts) +
                 " experts do not make one output");
  }
  experts_ = experts;
  places_ = places;
}

void RoutingRows::append(const Routing& routing, int64_t layer, int64_t range, int32_t router) {
  const auto info = info_of(routing, layer, range);
  expect(info.experts, info.places);
  const auto all = static_cast<size_t>(info.routers * info.rows);
  std::vector<float> logits(all * static_cast<size_t>(info.experts));
  std::vector<int32_t> ids(all * static_cast<size_t>(info.places));
  std::vector<float> weights(ids.size());
  call(mox_routing_read, routing.get(), layer, range, logits.data(), ids.data(), weights.data());
  const auto take = [&](const auto& from, auto& to, int64_t columns) {
    const auto begin = from.begin() + router * info.rows * columns;
    to.insert(to.end(), begin, begin + info.rows * columns);
  };
  take(logits, logits_, info.experts);
  take(ids, ids_, info.places);
  take(weights, weights_, info.places);
  rows_ += info.rows;
}

void RoutingRows::append(const Routing& routing, int64_t layer, int64_t range) {
  for (int32_t router = 0; router < router_count(routing, layer, range); ++router)
    append(routing, layer, range, router);
}

void RoutingRows::append(const RoutingRows& other) {
  if (other.rows_ == 0) return;
  expect(other.experts_, other.places_);
  logits_.insert(logits_.end(), other.logits_.begin(), other.logits_.end());
  ids_.insert(ids_.end(), other.ids_.begin(), other.ids_.end());
  weights_.insert(weights_.end(), other.weights_.begin(), other.weights_.end());
  rows_ += other.rows_;
}

void RoutingRows::add_to(Values& values, const std::string& range) const {
  if (rows_ == 0) return;
  values["router_logits." + range] = reals({rows_, experts_}, logits_);
  values["experts." + range] = integers({rows_, places_}, ids_);
  values["weights." + range] = reals({rows_, places_}, weights_);
}

}  // namespace moxie::cli::parity
