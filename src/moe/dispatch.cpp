#include "moe/dispatch.h"

#include <algorithm>

namespace moxie::moe {

Pairs make_pairs(Workspace& workspace, const RouterWork& router) {
  const int64_t experts = router.settings.experts;
  Pairs pairs;
  pairs.begin_of = workspace.take_zeroed<int64_t>(experts + 1);
  pairs.weight_sum = workspace.take_zeroed<float>(router.rows);
  const int64_t cells = router.rows * router.places;
  for (int64_t i = 0; i < cells; ++i) {
    if (router.experts[i] >= 0) ++pairs.begin_of[router.experts[i] + 1];
  }
  for (int64_t e = 0; e < experts; ++e) pairs.begin_of[e + 1] += pairs.begin_of[e];
  pairs.count = pairs.begin_of[experts];
  pairs.row = workspace.take<int32_t>(pairs.count);
  pairs.weight = workspace.take<float>(pairs.count);
  auto* next = workspace.take<int64_t>(experts);
  std::copy_n(pairs.begin_of, experts, next);
  for (int64_t row = 0; row < router.rows; ++row) {
    for (int64_t place = 0; place < router.places; ++place) {
      const int32_t expert = router.experts[row * router.places + place];
      if (expert < 0) continue;
      const float weight = router.weights[row * router.places + place];
      const int64_t at = next[expert]++;
      pairs.row[at] = static_cast<int32_t>(row);
      pairs.weight[at] = weight;
      pairs.weight_sum[row] += weight;
    }
  }
  if (router.settings.kind == MOX_ROUTER_SWITCH) {
    pairs.overflow_weight = workspace.take_zeroed<float>(router.rows);
    for (int64_t row = 0; row < router.rows; ++row) {
      if (router.experts[row] < 0) pairs.overflow_weight[row] = router.weights[row];
    }
  }
  return pairs;
}

Span Pairs::of_rows(int32_t expert, Span of) const {
  const int32_t* const end = row + begin_of[expert + 1];
  const int32_t* const lower = std::lower_bound<const int32_t*>(row + begin_of[expert], end, of.begin);
  return {lower - row, std::lower_bound(lower, end, of.end) - row};
}

Entries make_entries(Workspace& workspace, const FeedForward& feed_forward, std::span<const RangeWork> ranges,
                     int64_t rows) {
  const auto experts = static_cast<int64_t>(feed_forward.experts.size());
  Entries entries;
  entries.begin_of = workspace.take_zeroed<int64_t>(experts + 1);
  if (!feed_forward.router) {
    entries.count = rows;
    entries.begin_of[1] = rows;
  } else {
    for (const RangeWork& range : ranges) {
      const int64_t cells = range.rows * range.router.places;
      for (int64_t i = 0; i < cells; ++i) {
        if (range.router.experts[i] >= 0) ++entries.begin_of[range.router.experts[i] + 1];
      }
    }
    for (int64_t e = 0; e < experts; ++e) entries.begin_of[e + 1] += entries.begin_of[e];
    entries.count = entries.begin_of[experts];
    entries.gathered = true;
  }
  entries.row = workspace.take<int32_t>(entries.count);
  entries.range = workspace.take<int32_t>(entries.count);
  entries.weight = workspace.take<float>(entries.count);
  auto* next = workspace.take<int64_t>(experts);
  std::copy_n(entries.begin_of, experts, next);
  auto add = [&](int64_t expert, int64_t row, size_t range, float weight) {
    const int64_t at = next[expert]++;
    entries.row[at] = static_cast<int32_t>(row);
    entries.range[at] = static_cast<int32_t>(range);
    entries.weight[at] = weight;
  };
  for (size_t r = 0; r < ranges.size(); ++r) {
    const RangeWork& range = ranges[r];
    for (int64_t row = 0; row < range.rows; ++row) {
      if (!entries.gathered) {
        add(0, range.begin + row, r, 1.0F);
        continue;
      }
      for (int64_t place = 0; place < range.router.places; ++place) {
        const int64_t cell = row * range.router.places + place;
        if (range.router.experts[cell] >= 0) {
          add(range.router.experts[cell], range.begin + row, r, range.router.weights[cell]);
        }
      }
    }
  }
  return entries;
}

HiddenRows make_hidden_rows(Workspace& workspace, const FeedForward& feed_forward, std::span<const RangeWork> ranges,
                            const Entries& entries) {
  const auto experts = static_cast<int64_t>(feed_forward.experts.size());
  HiddenRows hidden;
  int64_t count = entries.count;
  for (const RangeWork& range : ranges) {
    if (range.keeps_pairs_apart()) count += range.pairs.count - range.rows;
  }
  hidden.count = count;
  hidden.begin_of = workspace.take_zeroed<int64_t>(experts + 1);
  hidden.first_of = workspace.take<int64_t>(entries.count);
  hidden.first_pair_of = workspace.take<int64_t>(static_cast<int64_t>(ranges.size()));
  hidden.row = workspace.take<int32_t>(count);
  hidden.range = workspace.take<int32_t>(count);
  hidden.set = workspace.take<int32_t>(count);
  hidden.bias_weight = workspace.take<float>(count);
  hidden.identity = !entries.gathered && count == entries.count;

  int64_t at = 0;
  auto add = [&](int32_t row, int32_t range, int32_t set, float bias_weight) {
    hidden.row[at] = row;
    hidden.range[at] = range;
    hidden.set[at] = set;
    hidden.bias_weight[at] = bias_weight;
    ++at;
  };
  for (int64_t e = 0; e < experts; ++e) {
    int32_t apart = -1;  // the range whose pairs were added last
    for (int64_t i = entries.begin_of[e]; i < entries.begin_of[e + 1]; ++i) {
      const int32_t r = entries.range[i];
      const RangeWork& range = ranges[static_cast<size_t>(r)];
      if (!range.keeps_pairs_apart()) {
        hidden.first_of[i] = at;
        add(entries.row[i], r, -1,
            range.mixlora() ? range.pairs.weight_sum[entries.row[i] - range.begin] : entries.weight[i]);
        continue;
      }
      hidden.first_of[i] = -1;
      hidden.identity = false;
      if (apart == r) continue;
      apart = r;
      hidden.first_pair_of[r] = at;
      for (int32_t set = 0; set < range.router.settings.experts; ++set) {
        for (int64_t p = range.pairs.begin_of[set]; p < range.pairs.begin_of[set + 1]; ++p) {
          add(static_cast<int32_t>(range.begin) + range.pairs.row[p], r, set, range.pairs.weight[p]);
        }
      }
    }
    hidden.begin_of[e + 1] = at;
  }
  return hidden;
}

}  // namespace moxie::moe
