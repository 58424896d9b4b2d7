// A whole decoder: embedding, blocks, norm, head.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "model/load_settings.h"
#include "transformer/block.h"

namespace moxie::model {

// Token id -> row, as stored; or, where embeddings are tied, from the head's packed rows.
struct Embedding {
  DType dtype = MOX_F32;
  std::shared_ptr<const std::byte> rows;  // [vocabulary, hidden]; NULL: tied
  size_t bytes = 0;
};

struct Decoder {
  checkpoint::Architecture architecture;
  transformer::Geometry geometry;
  Embedding embedding;
  std::vector<transformer::Block> blocks;
  std::vector<float> final_norm;
  moe::Linear head;  // [vocabulary, hidden]
  int64_t parameters = 0;

  [[nodiscard]] int64_t weight_bytes() const;
};

std::shared_ptr<Decoder> open_decoder(const std::string& folder, const LoadSettings& settings);

// One sequence's part of a step.
struct DecoderStep {
  transformer::Sequence* sequence = nullptr;
  const adapter::Adapter* adapter = nullptr;
  std::span<const int32_t> tokens;
  float* logits = nullptr;  // of the last logits_rows tokens: [logits_rows][logits_stride]
  int64_t logits_rows = 0;
  int64_t logits_stride = 0;
};

// Moves all sequences on. On error none has moved and no logits are written. plan: NULL, or receives one layer of
// decisions for each block, one range for each step.
void step(const Context& context, const Decoder& decoder, std::span<const DecoderStep> steps, moe::RoutingPlan* plan);

}  // namespace moxie::model
