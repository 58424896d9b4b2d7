// Rows of what routers decided, put together from several calls, ranges and layers.
#pragma once

#include <string>
#include <vector>

#include "cli/handles.h"
#include "cli/parity/kinds.h"

namespace moxie::cli::parity {

class RoutingRows {
 public:
  int64_t rows() const { return rows_; }
  int64_t experts() const { return experts_; }
  const std::vector<float>& logits() const { return logits_; }

  // Appends the rows of one router, or of all of them, router after router.
  void append(const Routing& routing, int64_t layer, int64_t range, int32_t router);
  void append(const Routing& routing, int64_t layer, int64_t range);

  void append(const RoutingRows& other);

  // router_logits.R, experts.R and weights.R; nothing where no row was appended.
  void add_to(Values& values, const std::string& range) const;

 private:
  void expect(int64_t experts, int64_t places);

  int64_t rows_ = 0;
  int64_t experts_ = 0;
  int64_t places_ = 0;
  std::vector<float> logits_;
  std::vector<int32_t> ids_;
  std::vector<float> weights_;
};

int32_t router_count(const Routing& routing, int64_t layer, int64_t range);

}  // namespace moxie::cli::parity
