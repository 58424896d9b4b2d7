// Who goes where: from the routers' decisions to rows in the order in which the kernels want them.
#pragma once

#include <span>

#include "moe/feed_forward.h"
#include "moe/lora_input.h"

namespace moxie::moe {

// Rows of h in float32: as many as the down input has deltas, or all of a range whose down input waits.
struct KeptRows {
  float* rows = nullptr;
  int64_t ld = 0;
};

// One range's work in a call.
struct RangeWork {
  const adapter::FeedForwardAdapter* adapter = nullptr;
  int64_t begin = 0, rows = 0;
  RouterWork router;  // MixLoRA's, or the bank's; router.router NULL: none
  LoraInput gate, up;
  Pairs pairs;  // MixLoRA only

  // The down projection's input differs from expert to expert, so its z is made where h is made, block by block.
  const adapter::LoraSets* down = nullptr;
  RouterWork down_router;           // plug-in experts on down
  LoraInput down_input;             // z: the sums of the partial ones
  float* z_partial = nullptr;       // [blocks][z_rows][ldz]
  KeptRows down_h;                  // h, until the whole of it meets A
  float* logits_partial = nullptr;  // [blocks][rows][experts], plug-in experts on down

  [[nodiscard]] bool mixlora() const { return adapter != nullptr && adapter->router.has_value(); }
  // MixLoRA with DoRA on down rescales each expert's own output, so the experts' h cannot be summed before W2.
  [[nodiscard]] bool keeps_pairs_apart() const { return mixlora() && down != nullptr && !down->rescale.empty(); }
};

// Rows that enter the base's experts, expert after expert, within an expert in row order. Dense: all rows.
struct Entries {
  int64_t count = 0;
  int64_t* begin_of = nullptr;  // [experts of the base + 1]
  int32_t* row = nullptr;       // [count] row of the call
  int32_t* range = nullptr;     // [count]
  float* weight = nullptr;      // [count]
  bool gathered = false;        // false: entry i is row i
};

Entries make_entries(Workspace& workspace, const FeedForward& feed_forward, std::span<const RangeWork> ranges,
                     int64_t rows);

// Inputs of the down projection ("h rows"): one for each entry, or one for each pair where pairs are kept apart.
struct HiddenRows {
  int64_t count = 0;
  int64_t* begin_of = nullptr;       // [experts of the base + 1]
  int64_t* first_of = nullptr;       // [entries] h row of an entry; -1 where its pairs are kept apart
  int64_t* first_pair_of = nullptr;  // [ranges] h row of the first pair of a range that keeps pairs apart
  int32_t* row = nullptr;            // [count] row of the call
  int32_t* range = nullptr;          // [count]
  int32_t* set = nullptr;            // [count] the pair's expert, or -1
  float* bias_weight = nullptr;      // [count] with what weight the down projection's bias counts
  bool identity = false;             // h row i is row i of the call: nothing is to be added up
};

HiddenRows make_hidden_rows(Workspace& workspace, const FeedForward& feed_forward, std::span<const RangeWork> ranges,
                            const Entries& entries);

}  // namespace moxie::moe
