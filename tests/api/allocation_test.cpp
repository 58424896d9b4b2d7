// A call like the one before takes no memory from the system: the program's own malloc counts, for every thread.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <optional>

#include "support.h"

// The C library's own, under the names it keeps for those who put something in front of them.
extern "C" {
void* __libc_malloc(size_t size);                      // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(size_t count, size_t size);        // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* memory, size_t size);       // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(size_t alignment, size_t size);  // NOLINT(bugprone-reserved-identifier)
}

namespace {

std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};

void count() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

extern "C" {

void* malloc(size_t size) {
  count();
  return __libc_malloc(size);
}

void* calloc(size_t count_of, size_t size) {
  count();
  return __libc_calloc(count_of, size);
}

void* realloc(void* memory, size_t size) {
  count();
  return __libc_realloc(memory, size);
}

void* memalign(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** memory, size_t alignment, size_t size) {
  count();
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}

}  // extern "C"

namespace api_test {
namespace {

constexpr int repetitions = 30;

// Allocations of all threads while `work` runs.
template <typename Work>
int64_t allocations_in(Work&& work) {
  allocations = 0;
  counting = true;
  work();
  counting = false;
  return allocations;
}

// Calls without the strings of must(): it is the library that is counted.
template <typename Function, typename... Arguments>
void count_on(Function function, Arguments... arguments) {
  if (function(arguments..., nullptr) != MOX_OK) std::abort();
}

TEST(Allocation, IsCountedWhereverItComesFrom) {
  // Called by name, so that no compiler leaves a pair of new and delete out.
  EXPECT_EQ(allocations_in([] { ::operator delete(::operator new(100)); }), 1);
  constexpr std::align_val_t wide{128};
  EXPECT_EQ(allocations_in([] { ::operator delete(::operator new(100, wide), wide); }), 1);
  // Of the library, on its own threads: what was decided is the caller's, and new each time.
  const Runtime runtime = make_runtime(2);
  const FeedForward feed_forward = open_feed_forward(runtime, parity_base("mixtral"), 0);
  const int64_t hidden = describe(feed_forward).hidden;
  const std::vector<float> input = random_rows(3, hidden, 1);
  std::vector<float> output(input.size());
  const std::vector<mox_range> ranges{{nullptr, 0, 3}};
  const mox_batch batch = batch_of(3, input.data(), output.data(), ranges);
  mox_routing* routing = nullptr;
  EXPECT_GT(allocations_in([&] { count_on(mox_feed_forward_run, feed_forward.get(), &batch, nullptr, &routing); }), 0);
  mox_routing_free(routing);
}

std::vector<std::string> feed_forward_adapters() {
  return {parity_adapter("h48-lora-r8"),
          parity_adapter("h48-dora-magnitude-r4"),
          parity_adapter("h48-mixlora-top2-e8"),
          parity_adapter("h48-mixdora"),
          parity_adapter("h48-dynamic-p80-t00"),
          parity_adapter("h48-switch-c2"),
          parity_adapter("h48-loramoe-all"),
          parity_adapter("h48-mola-k2"),
          parity_adapter("h48-mixlora-expert-lora")};
}

struct FeedForwardBase {
  std::string folder;
  std::vector<std::string> adapters;
};

// Batches of ranges over a feed-forward: of the plain base, of each adapter alone, and of all together.
class FeedForwardCase {
 public:
  FeedForwardCase(const Runtime& runtime, const FeedForwardBase& base)
      : feed_forward_(open_feed_forward(runtime, base.folder, 0)), hidden_(describe(feed_forward_).hidden) {
    adapters_.emplace_back();
    for (const std::string& folder : base.adapters) adapters_.push_back(open_adapter(feed_forward_, folder));
  }

  [[nodiscard]] size_t adapters() const { return adapters_.size(); }

  // Rows of one adapter, or of every adapter where none is named.
  int64_t allocations_of(std::optional<size_t> only, int64_t rows_of_range, mox_dtype dtype) {
    std::vector<mox_range> ranges;
    for (size_t i = 0; i < adapters_.size(); ++i) {
      if (only && *only != i) continue;
      const int64_t begin = ranges.empty() ? 0 : ranges.back().end;
      ranges.push_back({adapters_[i].get(), begin, begin + rows_of_range});
    }
    std::reverse(ranges.begin(), ranges.end());
    const int64_t rows = ranges.front().end;
    const std::vector<float> floats = random_rows(rows, hidden_, 7);
    std::vector<uint16_t> halves(floats.size());
    std::transform(floats.begin(), floats.end(), halves.begin(), to_bfloat16);
    std::vector<float> output(floats.size());
    mox_batch batch = batch_of(rows, floats.data(), output.data(), ranges);
    batch.input_dtype = batch.output_dtype = dtype;
    if (dtype == MOX_BF16) batch.input = halves.data();
    const auto call = [&] { count_on(mox_feed_forward_run, feed_forward_.get(), &batch, nullptr, nullptr); };
    for (int i = 0; i < 3; ++i) call();
    return allocations_in([&] {
      for (int i = 0; i < repetitions; ++i) call();
    });
  }

  // The same with a given plan.
  int64_t allocations_with_plan(size_t adapter, int64_t rows) {
    const std::vector<mox_range> ranges{{adapters_[adapter].get(), 0, rows}};
    const std::vector<float> input = random_rows(rows, hidden_, 8);
    std::vector<float> output(input.size());
    const mox_batch batch = batch_of(rows, input.data(), output.data(), ranges);
    mox_routing* raw = nullptr;
    must(mox_feed_forward_route, feed_forward_.get(), &batch, &raw);
    const Routing plan(raw);
    const auto call = [&] { count_on(mox_feed_forward_run, feed_forward_.get(), &batch, plan.get(), nullptr); };
    for (int i = 0; i < 3; ++i) call();
    return allocations_in([&] {
      for (int i = 0; i < repetitions; ++i) call();
    });
  }

 private:
  FeedForward feed_forward_;
  int64_t hidden_;
  std::vector<Adapter> adapters_;
};

class FeedForwardAllocation : public testing::TestWithParam<FeedForwardBase> {};

TEST_P(FeedForwardAllocation, NoneInASteadyState) {
  const Runtime runtime = make_runtime(2);
  FeedForwardCase bases(runtime, GetParam());
  for (const int64_t rows : {int64_t{1}, int64_t{5}, int64_t{70}}) {
    for (size_t adapter = 0; adapter < bases.adapters(); ++adapter) {
      EXPECT_EQ(bases.allocations_of(adapter, rows, MOX_F32), 0) << rows << " rows, adapter " << adapter;
    }
    EXPECT_EQ(bases.allocations_of({}, rows, MOX_F32), 0) << rows << " rows of each adapter";
    EXPECT_EQ(bases.allocations_of({}, rows, MOX_BF16), 0) << rows << " bfloat16 rows of each adapter";
  }
  for (size_t adapter = 0; adapter < bases.adapters(); ++adapter) {
    EXPECT_EQ(bases.allocations_with_plan(adapter, 9), 0) << "a plan, adapter " << adapter;
  }
}

INSTANTIATE_TEST_SUITE_P(Bases, FeedForwardAllocation,
                         testing::Values(FeedForwardBase{parity_base("llama-h48-float32"), feed_forward_adapters()},
                                         FeedForwardBase{parity_base("llama-h48-bfloat16"), feed_forward_adapters()},
                                         FeedForwardBase{parity_base("mixtral-bf16"), {}},
                                         FeedForwardBase{example("tiny-mixtral"), {}}));

struct ModelBase {
  std::string folder;
  std::vector<std::string> adapters;
};

class ModelAllocation : public testing::TestWithParam<ModelBase> {};

// One token of each sequence at a time. Sequences are of different lengths, all beyond the first block of the cache and
// none at the end of the second: a block that is begun is memory, and is asked for once in 64 positions.
TEST_P(ModelAllocation, NoneWhileDecoding) {
  constexpr int64_t block = 64;
  const Runtime runtime = make_runtime(2);
  const Model model = open_model(runtime, GetParam().folder);
  const int64_t vocabulary = describe(model).vocabulary;
  std::vector<Adapter> adapters(1);
  for (const std::string& folder : GetParam().adapters) adapters.push_back(open_adapter(model, folder));

  for (const bool with_logits : {false, true}) {
    std::vector<Sequence> sequences;
    std::vector<std::vector<float>> logits;
    std::vector<mox_step> steps;
    const std::vector<int32_t> tokens = random_tokens(2 * block, vocabulary, 3);
    for (size_t i = 0; i < 2 * adapters.size(); ++i) {
      sequences.push_back(make_sequence(model));
      const mox_adapter* adapter = adapters[i % adapters.size()].get();
      const mox_step prompt{
          sequences.back().get(), adapter, tokens.data(), block + 1 + static_cast<int64_t>(i % 3), nullptr, 0, 0};
      must(mox_model_step, model.get(), &prompt, size_t{1}, nullptr);
      logits.emplace_back(static_cast<size_t>(vocabulary));
      steps.push_back({sequences.back().get(), adapter, tokens.data() + i, 1,
                       with_logits ? logits.back().data() : nullptr, with_logits ? 1 : 0, 0});
    }
    // All together, and each by itself.
    const auto together = [&] { count_on(mox_model_step, model.get(), steps.data(), steps.size(), nullptr); };
    const auto alone = [&](size_t i) { count_on(mox_model_step, model.get(), &steps[i], size_t{1}, nullptr); };
    const auto both = [&] {
      together();
      for (size_t i = 0; i < steps.size(); ++i) alone(i);
    };
    for (int i = 0; i < 5; ++i) both();
    EXPECT_EQ(allocations_in([&] {
                for (int i = 0; i < repetitions / 2; ++i) together();
              }),
              0)
        << (with_logits ? "with logits" : "without logits");
    for (size_t i = 0; i < steps.size(); ++i) {
      EXPECT_EQ(allocations_in([&] {
                  for (int j = 0; j < repetitions / 2; ++j) alone(i);
                }),
                0)
          << "sequence " << i << (with_logits ? " with logits" : " without logits");
    }
    for (const Sequence& sequence : sequences) {
      ASSERT_LE(mox_sequence_length(sequence.get()), 2 * block) << "a block was begun while counting";
    }
  }
}

TEST(Allocation, NoneWhileSampling) {
  mox_sampler_options options;
  mox_sampler_options_init(&options, sizeof(options));
  options.temperature = 0.7F;
  options.top_k = 40;
  options.top_p = 0.9F;
  mox_sampler* sampler = nullptr;
  must(mox_sampler_create, &options, &sampler);
  const std::vector<float> logits = random_rows(1, 2048, 4);
  int32_t token = 0;
  const auto sample = [&] { count_on(mox_sampler_next, sampler, logits.data(), int64_t{2048}, &token); };
  sample();
  EXPECT_EQ(allocations_in([&] {
              for (int i = 0; i < repetitions; ++i) sample();
            }),
            0);
  mox_sampler_free(sampler);
}

INSTANTIATE_TEST_SUITE_P(
    Bases, ModelAllocation,
    testing::Values(ModelBase{parity_base("llama-h48-float32"),
                              {parity_adapter("h48-lora-r8"), parity_adapter("h48-dora-magnitude-r4"),
                               parity_adapter("h48-mixlora-attn"), parity_adapter("h48-mixdora"),
                               parity_adapter("h48-dynamic-p80-t00"), parity_adapter("h48-switch-attn"),
                               parity_adapter("h48-loramoe-attn"), parity_adapter("h48-mola-attn")}},
                    ModelBase{parity_base("llama-gqa-bf16"), {}}, ModelBase{parity_base("llama-rope-dynamic"), {}},
                    ModelBase{parity_base("mistral-window"), {}}, ModelBase{example("tiny-mixtral"), {}}));

}  // namespace
}  // namespace api_test
