// Kind `feed_forward`: one layer's feed-forward over a batch of ranges.
#include <map>

#include "cli/parity/hidden_states.h"
#include "cli/parity/routing_rows.h"

namespace moxie::cli::parity {
namespace {

std::map<std::string, Adapter> open_adapters(const Case& c, const FeedForward& feed_forward) {
  std::map<std::string, Adapter> adapters;
  for (const auto& range : c.ranges) {
    if (range.adapter.empty() || adapters.count(range.adapter)) continue;
    const auto folder = c.adapter_folder(range.adapter);
    adapters[range.adapter] =
        make<Adapter>(mox_adapter_open_for_feed_forward, feed_forward.get(), folder.c_str(), int32_t{-1});
  }
  return adapters;
}

}  // namespace

Values run_hidden_states(const Case& c, const FeedForward& feed_forward) {
  const auto input = c.input("hidden_states", 3);
  const int64_t sequences = input.shape[0], rows = input.shape[1];
  c.expect_sequences(sequences);
  const auto adapters = open_adapters(c, feed_forward);

  std::vector<mox_range> ranges;
  for (const auto& range : c.ranges) {
    const auto* adapter = range.adapter.empty() ? nullptr : adapters.at(range.adapter).get();
    ranges.push_back({adapter, range.begin * rows, range.end * rows});
  }
  std::vector<int64_t> begins;
  for (int64_t sequence = 0; sequence < sequences; ++sequence) begins.push_back(sequence * rows);

  std::vector<float> output(static_cast<size_t>(input.count()));
  auto batch = defaults(mox_batch_init);
  batch.rows = sequences * rows;
  batch.input = input.bytes.data();
  batch.input_dtype = input.dtype;
  batch.input_stride = input.shape[2];
  batch.output = output.data();
  batch.output_dtype = MOX_F32;
  batch.output_stride = input.shape[2];
  batch.ranges = ranges.data();
  batch.range_count = ranges.size();
  batch.sequence_begins = begins.data();
  batch.sequence_count = begins.size();
  const auto info = describe<mox_feed_forward_info>(mox_feed_forward_describe, feed_forward);
  if (info.hidden != input.shape[2]) {
    throw NotRun("hidden_states has rows of " + std::to_string(input.shape[2]) + ", the base's have " +
                 std::to_string(info.hidden));
  }
  const auto routing = make<Routing>(mox_feed_forward_run, feed_forward.get(), &batch, nullptr);

  Values values{{"hidden_states", reals(input.shape, output)}};
  for (size_t range = 0; range < ranges.size(); ++range) {
    RoutingRows routed;
    routed.append(routing, 0, static_cast<int64_t>(range));
    routed.add_to(values, std::to_string(range));
  }
  return values;
}

Values run_feed_forward(const Case& c, const Runtime& runtime) {
  c.understand({}, {"hidden_states"});
  const auto feed_forward =
      make<FeedForward>(mox_feed_forward_open, runtime.get(), c.base().c_str(), c.layer(), nullptr);
  return run_hidden_states(c, feed_forward);
}

}  // namespace moxie::cli::parity
