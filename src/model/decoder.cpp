#include "model/decoder.h"

#include <algorithm>
#include <cstring>

#include "model/layer_linears.h"
#include "model/weights_loader.h"
#include "moe/linears.h"
#include "runtime/error.h"

namespace moxie::model {
namespace {

using checkpoint::Architecture;
using moe::column_block;
using moe::divide_up;
using moe::panel_tile;
using moe::part;
using moe::row_stride;
using moe::row_tile;
using moe::Span;

constexpr int64_t embedding_rows = 32;

void read_embedding(WeightsLoader* loader, Decoder* decoder) {
  const Architecture& a = decoder->architecture;
  const checkpoint::TensorEntry& entry = loader->reader().require(a.names.embedding, {a.vocabulary, a.hidden});
  if (!checkpoint::is_weight_dtype(entry.dtype)) {
    throw unsupported(entry.file + ": tensor " + entry.name + " is " + entry.describe() +
                      "; expected float32, bfloat16 or float16");
  }
  decoder->embedding.dtype = entry.dtype;
  decoder->embedding.bytes = static_cast<size_t>(entry.bytes);
  decoder->embedding.rows = loader->add_rows(entry);
}

void embed(const Decoder& decoder, int32_t token, float* row) {
  const int64_t hidden = decoder.geometry.hidden;
  const Embedding& embedding = decoder.embedding;
  if (embedding.rows == nullptr) {
    decoder.head.weight.read_row(token, row);
    return;
  }
  const std::byte* stored = embedding.rows.get() + static_cast<size_t>(token * hidden) * element_size(embedding.dtype);
  if (embedding.dtype == MOX_F32) {
    std::memcpy(row, stored, static_cast<size_t>(hidden) * sizeof(float));
    return;
  }
  for (int64_t c = 0; c < hidden; ++c) {
    uint16_t bits = 0;
    std::memcpy(&bits, stored + c * 2, sizeof(bits));
    row[c] = embedding.dtype == MOX_BF16 ? widen_bfloat16(bits) : widen_float16(bits);
  }
}

// Where a row of logits comes from and goes to.
struct LogitsRow {
  int64_t row;  // of the call
  float* destination;
};

void run_head(const Context& context, const Decoder& decoder, const float* x, int64_t ldx,
              std::span<const LogitsRow> wanted) {
  Workspace& workspace = context.workspace;
  const auto rows = static_cast<int64_t>(wanted.size());
  if (rows == 0) return;
  const int64_t hidden = decoder.geometry.hidden;
  const int64_t ld = row_stride(hidden, sizeof(float));
  const DType dtype = decoder.head.weight.dtype();
  auto* normed = workspace.take<float>(rows * ld);
  const moe::ProductInput rounded = moe::product_input(workspace, dtype, normed, ld, rows, hidden);
  context.team.run(divide_up(rows, embedding_rows), [&](int64_t index, int) {
    const Span span = part(index, embedding_rows, rows);
    for (int64_t i = span.begin; i < span.end; ++i) {
      context.small().rms_norm(x + wanted[static_cast<size_t>(i)].row * ldx, decoder.final_norm.data(),
                               decoder.geometry.norm_epsilon, hidden, normed + i * ld);
    }
    moe::round_rows(context, rounded, dtype, normed, ld, hidden, span);
  });

  const int64_t panels = decoder.head.weight.panels();
  const int64_t row_tiles = moe::tiles_of(rows);
  const int64_t tile_floats = row_tile * column_block;
  auto* scratch = workspace.take<float>(tile_floats * context.team.size());
  context.team.run(row_tiles * divide_up(panels, panel_tile), [&](int64_t index, int worker) {
    const Span span = moe::tile_of_rows(index % row_tiles, rows);
    const Span columns = part(index / row_tiles, panel_tile, panels);
    float* tile = scratch + worker * tile_floats;
    moe::multiply(context, rounded, decoder.head.weight, span, columns, {tile, column_block});
    const int64_t first = columns.begin * kernels::panel_width;
    const int64_t width = std::min(columns.end * kernels::panel_width, decoder.head.out()) - first;
    for (int64_t i = 0; i < span.size(); ++i) {
      std::copy_n(tile + i * column_block, width, wanted[static_cast<size_t>(span.begin + i)].destination + first);
    }
  });
}

}  // namespace

int64_t Decoder::weight_bytes() const {
  int64_t bytes = static_cast<int64_t>(embedding.bytes + final_norm.size() * sizeof(float) + head.weight.bytes());
  for (const transformer::Block& block : blocks) bytes += block.weight_bytes();
  return bytes;
}

std::shared_ptr<Decoder> open_decoder(const std::string& folder, const LoadSettings& settings) {
  const checkpoint::Checkpoint checkpoint = checkpoint::open_checkpoint(folder, settings.map_files);
  checkpoint::refuse_unknown_tensors(checkpoint);
  checkpoint::require_attention(checkpoint.architecture, folder);
  auto decoder = std::make_shared<Decoder>();
  decoder->architecture = checkpoint.architecture;
  decoder->geometry = geometry_of(checkpoint.architecture);
  const Architecture& a = decoder->architecture;

  WeightsLoader loader(checkpoint, settings, "model");
  std::vector<std::string> linears;
  for (int64_t layer = 0; layer < a.layers; ++layer) {
    for (const std::string& name : attention_linears(a, layer)) linears.push_back(name);
    for (const std::string& name : feed_forward_linears(a, layer)) linears.push_back(name);
  }
  loader.decide_dtype(linears);
  decoder->blocks.resize(static_cast<size_t>(a.layers));
  for (int64_t layer = 0; layer < a.layers; ++layer) {
    add_block(&loader, layer, &decoder->blocks[static_cast<size_t>(layer)]);
  }
  decoder->final_norm = loader.vector(a.names.final_norm, a.hidden);

  const std::string& head = a.tied_embeddings ? a.names.embedding : a.names.head;
  loader.decide_dtype({head});
  loader.add_linear(head, a.vocabulary, a.hidden, false, &decoder->head);
  decoder->parameters = loader.parameters();
  if (!a.tied_embeddings) {
    read_embedding(&loader, decoder.get());
    decoder->parameters += a.vocabulary * a.hidden;
  }
  loader.run();
  return decoder;
}

void step(const Context& context, const Decoder& decoder, std::span<const DecoderStep> steps, moe::RoutingPlan* plan) {
  Workspace& workspace = context.workspace;
  auto pieces = workspace.list<transformer::StepRows>();
  auto wanted = workspace.list<LogitsRow>();
  pieces.reserve(steps.size());
  int64_t rows = 0;
  for (const DecoderStep& one : steps) {
    const auto count = static_cast<int64_t>(one.tokens.size());
    pieces.push_back({one.sequence, one.adapter, rows, rows + count});
    for (int64_t i = 0; i < one.logits_rows; ++i) {
      wanted.push_back({rows + count - one.logits_rows + i, one.logits + i * one.logits_stride});
    }
    rows += count;
  }
  const auto layers = static_cast<int64_t>(decoder.blocks.size());
  transformer::Steps moving(context, decoder.geometry, pieces, layers);

  const int64_t ld = row_stride(decoder.geometry.hidden, sizeof(float));
  auto* x = workspace.take<float>(rows * ld);
  context.team.run(static_cast<int64_t>(steps.size()), [&](int64_t index, int) {
    const DecoderStep& one = steps[static_cast<size_t>(index)];
    const int64_t first = pieces[static_cast<size_t>(index)].begin;
    for (size_t i = 0; i < one.tokens.size(); ++i) {
      embed(decoder, one.tokens[i], x + (first + static_cast<int64_t>(i)) * ld);
    }
  });

  auto kept = workspace.list<moe::RangeRouting*>();
  if (plan != nullptr) {
    plan->layers.resize(decoder.blocks.size());
    kept.resize(steps.size());
  }
  for (int64_t layer = 0; layer < layers; ++layer) {
    if (plan != nullptr) {
      moe::LayerRouting& routing = plan->layers[static_cast<size_t>(layer)];
      routing.ranges.resize(steps.size());
      for (size_t i = 0; i < steps.size(); ++i) {
        routing.ranges[i].rows = static_cast<int64_t>(steps[i].tokens.size());
        kept[i] = &routing.ranges[i];
      }
    }
    const Workspace::Mark mark = workspace.mark();
    try {
      transformer::run_block(context, decoder.geometry, decoder.blocks[static_cast<size_t>(layer)], layer, moving, x,
                             ld, nullptr, kept);
    } catch (const Error& failure) {
      throw Error(failure.status(), "layer " + std::to_string(layer) + ": " + failure.what());
    }
    workspace.release(mark);
  }
  moving.prepare_commit();
  run_head(context, decoder, x, ld, wanted);
  moving.commit();
}

}  // namespace moxie::model
