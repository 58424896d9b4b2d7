// Kind `block`: one transformer block, called several times through the cache.
#include <algorithm>

#include "cli/parity/kinds.h"
#include "cli/parity/routing_rows.h"

namespace moxie::cli::parity {
namespace {

// How many rows of each sequence each call takes. They must add up to the sequences' lengths.
std::vector<std::vector<int64_t>> read_steps(const Case& c, const std::vector<int64_t>& lengths) {
  const auto steps = c.option<std::vector<std::vector<int64_t>>>("steps");
  std::vector<int64_t> taken(lengths.size());
  for (const auto& step : steps) {
    if (step.size() != lengths.size()) throw NotRun("option 'steps' does not name every sequence in each call");
    for (size_t s = 0; s < step.size(); ++s) {
      if (step[s] < 0) throw NotRun("option 'steps' holds " + std::to_string(step[s]));
      taken[s] += step[s];
    }
  }
  if (taken != lengths) throw NotRun("option 'steps' does not add up to the sequences' lengths");
  return steps;
}

// Rows of each sequence that are no padding; padding stands on the right.
std::vector<int64_t> read_lengths(const Case& c, int64_t sequences, int64_t rows) {
  const auto mask = c.input("attention_mask", 2);
  if (mask.shape != std::vector<int64_t>{sequences, rows}) {
    throw NotRun("attention_mask has the shape " + shape_text(mask.shape) + ", hidden_states has " +
                 std::to_string(sequences) + " sequences of " + std::to_string(rows) + " rows");
  }
  const auto values = mask.integers();
  std::vector<int64_t> lengths;
  for (auto row = values.begin(); row != values.end(); row += rows) {
    const auto length = std::count(row, row + rows, 1);
    if (std::count(row, row + length, 1) != length || std::count(row + length, row + rows, 0) != rows - length) {
      throw NotRun("attention_mask has padding that is not on the right");
    }
    lengths.push_back(length);
  }
  return lengths;
}

}  // namespace

Values run_block(const Case& c, const Runtime& runtime) {
  c.understand({"steps"}, {"hidden_states", "attention_mask"});
  c.expect_plain_base();
  const auto input = c.input("hidden_states", 3);
  const int64_t rows = input.shape[1], hidden = input.shape[2];
  const auto sequence_count = static_cast<size_t>(input.shape[0]);
  c.expect_sequences(input.shape[0]);
  const auto lengths = read_lengths(c, input.shape[0], rows);
  const auto steps = read_steps(c, lengths);

  const auto block = make<Block>(mox_block_open, runtime.get(), c.base().c_str(), c.layer(), nullptr);
  if (mox_block_hidden(block.get()) != hidden) {
    throw NotRun("hidden_states has rows of " + std::to_string(hidden) + ", the block's have " +
                 std::to_string(mox_block_hidden(block.get())));
  }
  std::vector<Sequence> sequences;
  for (size_t s = 0; s < sequence_count; ++s) {
    sequences.push_back(make<Sequence>(mox_sequence_create_for_block, block.get(), nullptr));
  }

  // Input and outputs share one type: widened, so that outputs are not rounded.
  const auto x = input.floats();
  std::vector<float> output(x.size()), after_attention(x.size());
  std::vector<RoutingRows> routed(sequence_count);
  std::vector<int64_t> at(sequence_count);
  for (const auto& step : steps) {
    std::vector<mox_block_step> calls;
    std::vector<size_t> moved;
    for (size_t s = 0; s < sequence_count; ++s) {
      if (step[s] == 0) continue;
      const auto first = (static_cast<int64_t>(s) * rows + at[s]) * hidden;
      calls.push_back({sequences[s].get(), nullptr, x.data() + first, output.data() + first,
                       after_attention.data() + first, step[s], hidden, MOX_F32});
      moved.push_back(s);
      at[s] += step[s];
    }
    const auto routing = make<Routing>(mox_block_run, block.get(), calls.data(), calls.size());
    for (size_t i = 0; i < moved.size(); ++i) routed[moved[i]].append(routing, 0, static_cast<int64_t>(i));
  }

  Values values{{"hidden_states", reals(input.shape, output)},
                {"after_attention", reals(input.shape, after_attention)}};
  RoutingRows all;
  for (const auto& rows_of_sequence : routed) all.append(rows_of_sequence);
  all.add_to(values, "0");
  return values;
}

}  // namespace moxie::cli::parity
