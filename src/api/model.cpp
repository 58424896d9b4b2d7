#include "api/batch.h"
#include "api/call.h"
#include "api/handles.h"

using moxie::api::guard;

namespace {

using moxie::invalid_argument;
using moxie::api::require_not_null;

moxie::model::DecoderStep check_step(const mox_step& given, size_t index, const mox_model& model,
                                     moxie::api::HeldAdapters* adapters, moxie::api::HeldSequences* sequences) {
  const auto at = [index](const char* field) { return moxie::api::ArgumentName("steps", index, field); };
  const int64_t vocabulary = model.decoder->architecture.vocabulary;
  moxie::model::DecoderStep step;
  step.adapter = adapters->hold(given.adapter, model.decoder.get(), at(".adapter"));
  require_not_null(given.tokens, at(".tokens"));
  if (given.token_count < 1 || given.token_count > INT32_MAX) {
    throw invalid_argument(at(".token_count").text() + " is " + std::to_string(given.token_count) +
                           "; expected 1 or more");
  }
  for (int64_t i = 0; i < given.token_count; ++i) {
    if (given.tokens[i] < 0 || given.tokens[i] >= vocabulary) {
      throw invalid_argument(at(".tokens").text() + "[" + std::to_string(i) + "] is " +
                             std::to_string(given.tokens[i]) + "; the vocabulary is 0 to " +
                             std::to_string(vocabulary - 1));
    }
  }
  step.tokens = {given.tokens, static_cast<size_t>(given.token_count)};
  if (given.logits_rows < 0 || given.logits_rows > given.token_count) {
    throw invalid_argument(at(".logits_rows").text() + " is " + std::to_string(given.logits_rows) + "; expected 0 to " +
                           std::to_string(given.token_count));
  }
  step.logits_rows = given.logits_rows;
  if (given.logits_rows > 0) {
    require_not_null(given.logits, at(".logits"));
    step.logits = given.logits;
    step.logits_stride =
        moxie::api::checked_stride(given.logits_stride, vocabulary, given.logits_rows, at(".logits_stride"));
  }
  step.sequence = sequences->hold(given.sequence, model.decoder.get(), at(".sequence"));
  return step;
}

}  // namespace

mox_status mox_model_open(mox_runtime* runtime, const char* folder, const mox_load_options* options, mox_model** model,
                          mox_error* error) {
  return guard(error, [&] {
    require_not_null(runtime, "runtime");
    require_not_null(folder, "folder");
    require_not_null(model, "model");
    const moxie::NearPlacement near(runtime->engine->placement());
    const moxie::model::LoadSettings settings = moxie::api::read_load_options(options, runtime->engine);
    auto decoder = moxie::model::open_decoder(folder, settings);
    *model = new mox_model{runtime->engine, std::move(decoder)};
  });
}

void mox_model_free(mox_model* model) { delete model; }

mox_status mox_model_describe(const mox_model* model, mox_model_info* info, mox_error* error) {
  return guard(error, [&] {
    require_not_null(model, "model");
    const moxie::checkpoint::Architecture& a = model->decoder->architecture;
    mox_model_info found{};
    moxie::api::copy_text(found.family, sizeof(found.family), a.family);
    found.hidden = a.hidden;
    found.ffn = a.ffn;
    found.vocabulary = a.vocabulary;
    found.max_positions = a.max_positions;
    found.layers = a.layers;
    found.heads = a.heads;
    found.kv_heads = a.kv_heads;
    found.head_dim = a.head_dim;
    found.experts = a.experts;
    found.top_k = a.top_k;
    found.parameters = model->decoder->parameters;
    found.weight_bytes = model->decoder->weight_bytes();
    found.weights = model->decoder->blocks.front().feed_forward.weights();
    found.bos_token = a.bos_token;
    found.eos_token = a.eos_token;
    moxie::api::write_struct(info, found, "mox_model_info");
  });
}

mox_status mox_model_step(const mox_model* model, const mox_step* steps, size_t step_count, mox_routing** routing,
                          mox_error* error) {
  return guard(error, [&] {
    require_not_null(model, "model");
    if (step_count > 0) require_not_null(steps, "steps");
    moxie::api::CallMemory memory;
    moxie::api::HeldAdapters adapters(memory);
    moxie::api::HeldSequences sequences(memory);
    auto checked = memory.list<moxie::model::DecoderStep>();
    int64_t rows = 0;
    for (size_t i = 0; i < step_count; ++i) {
      checked.push_back(check_step(steps[i], i, *model, &adapters, &sequences));
      rows += steps[i].token_count;
    }
    if (rows > INT32_MAX) {
      throw invalid_argument("the steps hold " + std::to_string(rows) + " tokens; at most " +
                             std::to_string(INT32_MAX) + " go into one call");
    }
    auto kept = routing != nullptr ? std::make_unique<mox_routing>() : nullptr;
    if (kept) kept->plan.layers.resize(model->decoder->blocks.size());
    if (!checked.empty()) {
      model->engine->run([&](const moxie::Context& context) {
        moxie::model::step(context, *model->decoder, checked, kept ? &kept->plan : nullptr);
      });
    }
    if (kept) *routing = kept.release();
  });
}
