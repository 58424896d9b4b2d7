// Kind `model`: a whole decoder, all sequences of all ranges stepped together.
#include <algorithm>
#include <map>

#include "cli/parity/kinds.h"
#include "cli/parity/model_outputs.h"

namespace moxie::cli::parity {
namespace {

// A row of ids and mask without its padding, which stands on one side.
CaseSequence read_sequence(const int64_t* ids, const int64_t* mask, int64_t rows, const std::string& padding) {
  CaseSequence sequence;
  const int64_t* end = mask + rows;
  const int64_t* begin = std::find(mask, end, 1);
  const int64_t* behind = std::find_if(begin, end, [](int64_t value) { return value != 1; });
  if (begin == end || std::count(mask, begin, 0) != begin - mask || std::count(behind, end, 0) != end - behind ||
      (begin != mask && behind != end)) {
    throw NotRun("attention_mask has padding that is not on one side of its tokens");
  }
  if ((padding == "right" && begin != mask) || (padding == "left" && behind != end)) {
    throw NotRun("attention_mask is not padded on the " + padding + ", as option 'padding' says");
  }
  sequence.first = begin - mask;
  for (int64_t row = sequence.first; row < behind - mask; ++row) {
    if (ids[row] < 0 || ids[row] > INT32_MAX) throw NotRun("input_ids holds " + std::to_string(ids[row]));
    sequence.tokens.push_back(static_cast<int32_t>(ids[row]));
  }
  return sequence;
}

std::vector<CaseSequence> read_sequences(const Case& c) {
  const auto ids = c.input("input_ids", 2), mask = c.input("attention_mask", 2);
  if (ids.shape != mask.shape) {
    throw NotRun("input_ids has the shape " + shape_text(ids.shape) + ", attention_mask " + shape_text(mask.shape));
  }
  c.expect_sequences(ids.shape[0]);
  const auto padding = c.option<std::string>("padding", "");
  if (!padding.empty() && padding != "left" && padding != "right") {
    throw NotRun("option 'padding' is '" + padding + "', expected 'left' or 'right'");
  }
  const int64_t rows = ids.shape[1];
  const auto id_values = ids.integers(), mask_values = mask.integers();
  std::vector<int64_t> labels;
  if (c.has_input("labels")) {
    const auto tensor = c.input("labels", 2);
    if (tensor.shape != ids.shape) throw NotRun("labels has the shape " + shape_text(tensor.shape));
    labels = tensor.integers();
  }
  std::vector<CaseSequence> sequences;
  for (int64_t s = 0; s < ids.shape[0]; ++s) {
    sequences.push_back(read_sequence(id_values.data() + s * rows, mask_values.data() + s * rows, rows, padding));
    if (!labels.empty()) sequences.back().labels.assign(labels.begin() + s * rows, labels.begin() + (s + 1) * rows);
  }
  return sequences;
}

class ModelRun {
 public:
  ModelRun(const Case& c, const Runtime& runtime)
      : case_(c),
        sequences_(read_sequences(c)),
        model_(make<Model>(mox_model_open, runtime.get(), c.base().c_str(), nullptr)),
        info_(describe<mox_model_info>(mox_model_describe, model_)) {
    for (const auto& range : c.ranges) {
      if (range.adapter.empty() || adapters_.count(range.adapter)) continue;
      const auto folder = c.adapter_folder(range.adapter);
      adapters_[range.adapter] = make<Adapter>(mox_adapter_open, model_.get(), folder.c_str());
    }
  }

  // Everything in one call, then one call for each further token.
  void run() {
    std::vector<const mox_adapter*> adapters(sequences_.size());
    for (const auto& range : case_.ranges) {
      if (range.adapter.empty()) continue;
      std::fill(adapters.begin() + range.begin, adapters.begin() + range.end, adapters_.at(range.adapter).get());
    }
    // Step s is sequence s, in whatever order the batch lists its ranges.
    for (size_t s = 0; s < sequences_.size(); ++s) {
      auto& sequence = sequences_[s];
      auto options = defaults(mox_sequence_options_init);
      options.first_position = sequence.first;
      caches_.push_back(make<Sequence>(mox_sequence_create, model_.get(), &options));
      sequence.logits.resize(sequence.tokens.size() * static_cast<size_t>(info_.vocabulary));
      const auto rows = static_cast<int64_t>(sequence.tokens.size());
      steps_.push_back(
          {caches_.back().get(), adapters[s], sequence.tokens.data(), rows, sequence.logits.data(), rows, 0});
    }
    routing_ = make<Routing>(mox_model_step, model_.get(), steps_.data(), steps_.size());
    for (auto& sequence : sequences_) {
      sequence.greedy = {
          likeliest(sequence.logits.data() + sequence.logits.size() - info_.vocabulary, info_.vocabulary)};
    }
  }

  void continue_greedily(int64_t tokens) {
    std::vector<float> logits(sequences_.size() * static_cast<size_t>(info_.vocabulary));
    for (int64_t taken = 1; taken < tokens; ++taken) {
      for (size_t s = 0; s < steps_.size(); ++s) {
        steps_[s].tokens = &sequences_[s].greedy.back();
        steps_[s].token_count = 1;
        steps_[s].logits = logits.data() + s * static_cast<size_t>(info_.vocabulary);
        steps_[s].logits_rows = 1;
      }
      call(mox_model_step, model_.get(), steps_.data(), steps_.size(), nullptr);
      for (size_t s = 0; s < steps_.size(); ++s) {
        sequences_[s].greedy.push_back(likeliest(steps_[s].logits, info_.vocabulary));
      }
    }
  }

  Values outputs() const {
    Values values;
    for (size_t range = 0; range < case_.ranges.size(); ++range) add_outputs(values, range);
    return values;
  }

 private:
  void add_outputs(Values& values, size_t index) const {
    const auto& range = case_.ranges[index];
    const auto name = std::to_string(index);
    const auto count = static_cast<size_t>(range.end - range.begin);
    const auto* sequences = &sequences_[static_cast<size_t>(range.begin)];
    std::vector<float> logits;
    std::vector<int32_t> tokens;
    for (size_t s = 0; s < count; ++s) {
      logits.insert(logits.end(), sequences[s].logits.begin(), sequences[s].logits.end());
      tokens.insert(tokens.end(), sequences[s].greedy.begin(), sequences[s].greedy.end());
    }
    values["logits." + name] =
        reals({static_cast<int64_t>(logits.size()) / info_.vocabulary, info_.vocabulary}, logits);
    const bool with_labels = !sequences->labels.empty();
    std::vector<int64_t> token_shape{static_cast<int64_t>(count)};
    if (!with_labels) token_shape.push_back(static_cast<int64_t>(sequences->greedy.size()));
    if (with_labels || case_.options().contains("new_tokens")) values["tokens." + name] = integers(token_shape, tokens);
    if (with_labels)
      values["loss." + name] = reals({1}, std::vector{cross_entropy(sequences, count, info_.vocabulary)});
    const auto routed = range_rows(routing_, range.begin, range.end - range.begin);
    if (routed.rows() == 0) return;
    routed.add_to(values, name);
    auto settings = defaults(mox_router_loss_options_init);
    if (!choose_loss(settings, range, with_labels)) return;
    settings.layers = range_routers(routing_, range.begin);
    settings.sequences = 1;  // padding is gone, so rows of different sequences are of different number
    double loss = 0;
    call(mox_router_loss, &settings, routed.logits().data(), routed.rows(), &loss);
    values["aux_loss." + name] = reals({1}, std::vector{loss});
  }

  // Cases with labels state the loss of the adapter's configuration, the others the balance of the model's own experts,
  // without a coefficient. False where there is none.
  bool choose_loss(mox_router_loss_options& settings, const CaseRange& range, bool with_labels) const {
    if (!with_labels) {
      settings.kind = MOX_ROUTER_TOP_K;
      settings.experts = info_.experts;
      settings.top_k = info_.top_k;
      settings.balance_coefficient = 1;
      return info_.experts > 0;
    }
    if (range.adapter.empty()) return false;
    mox_error error{};
    const auto status = mox_adapter_router_loss(adapters_.at(range.adapter).get(), &settings, &error);
    if (status != MOX_OK && status != MOX_UNSUPPORTED) throw Refused(status, error.message);
    return status == MOX_OK;
  }

  const Case& case_;
  std::vector<CaseSequence> sequences_;
  Model model_;
  mox_model_info info_;
  std::map<std::string, Adapter> adapters_;
  std::vector<Sequence> caches_;
  std::vector<mox_step> steps_;
  Routing routing_;
};

}  // namespace

Values run_model(const Case& c, const Runtime& runtime) {
  c.understand({"new_tokens", "padding"}, {"input_ids", "attention_mask", "labels"});
  const auto new_tokens = c.option("new_tokens", int64_t{1});
  if (new_tokens < 1) throw NotRun("option 'new_tokens' is " + std::to_string(new_tokens));
  if (c.has_input("labels") && c.options().contains("new_tokens")) {
    throw NotRun("labels and new_tokens together are not understood");
  }
  ModelRun run(c, runtime);
  run.run();
  run.continue_greedily(new_tokens);
  return run.outputs();
}

}  // namespace moxie::cli::parity
