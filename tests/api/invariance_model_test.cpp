// The promise of the model: a token's logits, bit for bit, depend on its sequence and adapter only; not on who steps
// beside it, nor on how a prompt is cut into steps, nor on the number of threads.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "support.h"

namespace api_test {
namespace {

struct Base {
  std::string name;
  std::string folder;
  std::vector<std::string> adapters;
  mox_dtype kv = MOX_F32;
  friend void PrintTo(const Base& base, std::ostream* out) { *out << base.name; }
};

std::vector<Base> bases() {
  const std::vector<std::string> nine{
      parity_adapter("h48-lora-r8"),      parity_adapter("h48-rslora-r16"),   parity_adapter("h48-dora-magnitude-r4"),
      parity_adapter("h48-mixlora-attn"), parity_adapter("h48-mixdora"),      parity_adapter("h48-dynamic-p80-t00"),
      parity_adapter("h48-switch-attn"),  parity_adapter("h48-loramoe-attn"), parity_adapter("h48-mola-attn")};
  const std::vector<std::string> trained{example("kjv-mixlora"),      example("kjv-mixlora-dynamic"),
                                         example("melville-loramoe"), example("presidents-mola"),
                                         example("jargon-lora"),      example("jargon-dora")};
  return {{"h48_float32", parity_base("llama-h48-float32"), nine},
          {"h48_bfloat16", parity_base("llama-h48-bfloat16"), nine},
          {"tiny_llama", example("tiny-llama"), trained},
          {"tiny_mixtral", example("tiny-mixtral"), {}},
          {"mixtral_float32", parity_base("mixtral"), {}},
          {"mistral_window", parity_base("mistral-window"), {}},
          {"llama_gqa_bfloat16", parity_base("llama-gqa-bf16"), {}},
          {"consolidated_mixtral", parity_base("consolidated-mixtral"), {}},
          {"tiny_llama_bf16_kv", example("tiny-llama"), trained, MOX_BF16},
          {"mistral_window_bf16_kv", parity_base("mistral-window"), {}, MOX_BF16},
          {"llama_gqa_bf16_kv", parity_base("llama-gqa-bf16"), {}, MOX_BF16}};
}

// One sequence: what it is fed, under which adapter.
struct Line {
  size_t adapter;  // 0: the plain base
  std::vector<int32_t> tokens;
};

// Part of a line in a step.
struct Part {
  size_t line;
  int64_t count;
};

class Case {
 public:
  Case(const Runtime& runtime, const Base& base) : model_(open_model(runtime, base.folder)), kv_(base.kv) {
    vocabulary_ = describe(model_).vocabulary;
    adapters_.emplace_back();
    for (const std::string& folder : base.adapters) adapters_.push_back(open_adapter(model_, folder));
  }

  [[nodiscard]] int64_t vocabulary() const { return vocabulary_; }
  [[nodiscard]] size_t adapters() const { return adapters_.size(); }

  // Takes fresh sequences through the steps; the logits of every token, line by line.
  [[nodiscard]] std::vector<std::vector<uint32_t>> run(const std::vector<Line>& lines,
                                                       const std::vector<std::vector<Part>>& schedule) const {
    std::vector<Sequence> sequences(lines.size());
    std::vector<size_t> fed(lines.size(), 0);
    std::vector<std::vector<uint32_t>> result(lines.size());
    for (const std::vector<Part>& parts : schedule) {
      std::vector<mox_step> steps;
      std::vector<std::vector<float>> logits;
      for (const Part& part : parts) {
        if (!sequences[part.line]) sequences[part.line] = make_sequence(model_, kv_);
        const Line& line = lines[part.line];
        logits.emplace_back(static_cast<size_t>(part.count * vocabulary_), -1.0F);
        steps.push_back({sequences[part.line].get(), adapters_[line.adapter].get(), line.tokens.data() + fed[part.line],
                         part.count, logits.back().data(), part.count, 0});
        fed[part.line] += static_cast<size_t>(part.count);
      }
      must(mox_model_step, model_.get(), steps.data(), steps.size(), nullptr);
      for (size_t i = 0; i < parts.size(); ++i) {
        const std::vector<uint32_t> bits = bits_of(logits[i]);
        result[parts[i].line].insert(result[parts[i].line].end(), bits.begin(), bits.end());
      }
    }
    return result;
  }

  // All parts of one line in one step each, forked and truncated on the way: what is remembered is what was fed.
  [[nodiscard]] std::vector<uint32_t> run_with_detours(const Line& line, std::mt19937& random) const {
    Sequence sequence = make_sequence(model_, kv_);
    const auto total = static_cast<int64_t>(line.tokens.size());
    std::vector<float> logits(static_cast<size_t>(total * vocabulary_));
    const auto step = [&](const Sequence& which, int64_t from, int64_t count) {
      const mox_step one{which.get(),
                         adapters_[line.adapter].get(),
                         line.tokens.data() + from,
                         count,
                         logits.data() + from * vocabulary_,
                         count,
                         0};
      must(mox_model_step, model_.get(), &one, size_t{1}, nullptr);
    };
    int64_t fed = 0;
    while (fed < total) {
      const auto count = std::min<int64_t>(1 + static_cast<int64_t>(random() % 9), total - fed);
      step(sequence, fed, count);
      // Wrong tokens, forgotten again; what they wrote into the logits is overwritten below.
      if (fed + count < total) {
        std::vector<float> ignored(static_cast<size_t>(vocabulary_));
        const std::vector<int32_t> wrong = random_tokens(std::min<int64_t>(7, total - fed), vocabulary_, random());
        const mox_step detour{sequence.get(),
                              adapters_[line.adapter].get(),
                              wrong.data(),
                              static_cast<int64_t>(wrong.size()),
                              ignored.data(),
                              1,
                              0};
        if (random() % 2 == 0) {
          must(mox_model_step, model_.get(), &detour, size_t{1}, nullptr);
          must(mox_sequence_truncate, sequence.get(), fed + count);
        } else {
          mox_sequence* fork = nullptr;
          must(mox_sequence_fork, sequence.get(), &fork);
          const Sequence kept = std::exchange(sequence, Sequence(fork));
          mox_step abandoned = detour;
          abandoned.sequence = kept.get();
          must(mox_model_step, model_.get(), &abandoned, size_t{1}, nullptr);
        }
      }
      fed += count;
    }
    return bits_of(logits);
  }

 private:
  Model model_;
  std::vector<Adapter> adapters_;
  mox_dtype kv_;
  int64_t vocabulary_ = 0;
};

using Schedule = std::vector<std::vector<Part>>;

int64_t length(const Line& line) { return static_cast<int64_t>(line.tokens.size()); }

Schedule each_alone(const std::vector<Line>& lines) {
  Schedule schedule;
  for (size_t i = 0; i < lines.size(); ++i) schedule.push_back({{i, length(lines[i])}});
  return schedule;
}

Schedule all_at_once(const std::vector<Line>& lines) {
  Schedule schedule(1);
  for (size_t i = lines.size(); i-- > 0;) schedule[0].push_back({i, length(lines[i])});
  return schedule;
}

Schedule token_by_token(const std::vector<Line>& lines) {
  Schedule schedule;
  for (int64_t at = 0;; ++at) {
    std::vector<Part> parts;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (at < length(lines[i])) parts.push_back({i, 1});
    }
    if (parts.empty()) return schedule;
    schedule.push_back(parts);
  }
}

// Whoever is there, in any order, by as many tokens as chance has it: prefill beside decode.
Schedule by_chance(const std::vector<Line>& lines, std::mt19937& random) {
  Schedule schedule;
  std::vector<int64_t> left;
  for (const Line& line : lines) left.push_back(length(line));
  while (std::any_of(left.begin(), left.end(), [](int64_t count) { return count > 0; })) {
    std::vector<size_t> order(lines.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    std::vector<Part> parts;
    for (const size_t i : order) {
      if (left[i] == 0 || random() % 3 == 0) continue;
      const int64_t wanted = random() % 2 == 0 ? 1 : 1 + static_cast<int64_t>(random() % 19);
      parts.push_back({i, std::min(wanted, left[i])});
      left[i] -= parts.back().count;
    }
    if (!parts.empty()) schedule.push_back(parts);
  }
  return schedule;
}

class ModelBits : public testing::TestWithParam<std::tuple<NamedMachine, Base>> {
 protected:
  static void expect_equal(const std::vector<uint32_t>& found, const std::vector<uint32_t>& alone, size_t line,
                           int64_t vocabulary, const char* how) {
    ASSERT_EQ(found.size(), alone.size());
    const auto differ = std::mismatch(found.begin(), found.end(), alone.begin()).first - found.begin();
    if (differ == static_cast<ptrdiff_t>(found.size())) return;
    ADD_FAILURE() << how << ": line " << line << ", token " << differ / vocabulary << ": logit " << differ % vocabulary
                  << " is " << std::bit_cast<float>(found[static_cast<size_t>(differ)]) << ", alone "
                  << std::bit_cast<float>(alone[static_cast<size_t>(differ)]);
  }
};

TEST_P(ModelBits, DependOnSequenceAndAdapterOnly) {
  const auto& [machine, base] = GetParam();
  std::mt19937 random(3);
  const Runtime one_thread = make_runtime(1, machine.machine);
  const Case reference(one_thread, base);

  // Lengths to both sides of what caches and kernels may take in blocks; a sequence for each adapter, and the plain
  // base twice.
  const std::vector<int64_t> lengths = machine.slow() ? std::vector<int64_t>{9, 2, 17, 5}
                                                      : std::vector<int64_t>{67, 5, 33, 16, 1, 40, 22, 9, 31, 12, 18};
  std::vector<Line> lines;
  for (size_t i = 0; i <= reference.adapters(); ++i) {
    lines.push_back({i % reference.adapters(),
                     random_tokens(lengths[i % lengths.size()], reference.vocabulary(), static_cast<uint32_t>(i))});
  }
  const auto alone = reference.run(lines, each_alone(lines));
  for (const auto& bits : alone) {
    ASSERT_TRUE(std::isfinite(std::bit_cast<float>(bits.front())));
    ASSERT_NE(bits.front(), bits.back());
  }

  for (const int32_t threads : {1, 2, 3}) {
    SCOPED_TRACE(std::to_string(threads) + " threads");
    const Runtime runtime = make_runtime(threads, machine.machine);
    const Case subject(runtime, base);
    const auto check = [&](const Schedule& schedule, const char* how) {
      const auto found = subject.run(lines, schedule);
      for (size_t i = 0; i < lines.size(); ++i) expect_equal(found[i], alone[i], i, subject.vocabulary(), how);
    };
    check(each_alone(lines), "each alone");
    check(all_at_once(lines), "all in one step");
    if (threads != 2 || !machine.slow()) check(token_by_token(lines), "token by token");
    for (int repeat = 0; repeat < (machine.slow() ? 1 : 2); ++repeat) check(by_chance(lines, random), "by chance");
    for (size_t i = 0; i < lines.size(); ++i) {
      expect_equal(subject.run_with_detours(lines[i], random), alone[i], i, subject.vocabulary(),
                   "forked and truncated on the way");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, ModelBits,
                         testing::Combine(testing::ValuesIn(machines()), testing::ValuesIn(bases())),
                         [](const auto& tested) {
                           return std::get<0>(tested.param).name + "_" + std::get<1>(tested.param).name;
                         });

// So long that attention adds it up in several parts, which more threads than heads share.
TEST(LongSequence, BitsDoNotDependOnWhoShares) {
  for (const Base& base : bases()) {
    if (!base.adapters.empty() || base.name == "consolidated_mixtral") continue;
    SCOPED_TRACE(base.name);
    const auto run = [&](int32_t threads, const std::vector<int64_t>& parts) {
      const Runtime runtime = make_runtime(threads);
      const Case subject(runtime, base);
      const std::vector<Line> lines{{0, random_tokens(1100, subject.vocabulary(), 5)}};
      Schedule schedule;
      for (const int64_t part : parts) schedule.push_back({{0, part}});
      return subject.run(lines, schedule).front();
    };
    const std::vector<uint32_t> alone = run(1, {1100});
    EXPECT_EQ(run(3, {1100}), alone);
    EXPECT_EQ(run(3, {511, 1, 1, 77, 500, 3, 1, 1, 1, 1, 1, 1, 1}), alone);
    EXPECT_EQ(run(7, {1024, 1, 1, 64, 10}), alone);
  }
}

}  // namespace
}  // namespace api_test
