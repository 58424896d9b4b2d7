// Who may be freed when, and who may call at once.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <numeric>
#include <thread>

#include "support.h"

namespace api_test {
namespace {

namespace fs = std::filesystem;

size_t entries(const char* folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}
size_t os_threads() { return entries("/proc/self/task"); }
size_t open_files() { return entries("/proc/self/fd"); }

// A thread that was joined may be listed for a moment longer.
void expect_threads_to_settle_at(size_t expected) {
  for (int i = 0; i < 1000 && os_threads() > expected; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_LE(os_threads(), expected);
}

const std::vector<std::string>& kinds() {
  static const std::vector<std::string> folders{"h48-lora-r8",          "h48-mixlora-attn", "h48-dynamic-p80-t00",
                                                "h48-switch-attn",      "h48-loramoe-attn", "h48-mola-attn",
                                                "h48-dora-magnitude-r4"};
  return folders;
}

// Logits of a prompt in one step and then token by token.
std::vector<float> play(const Model& model, const Sequence& sequence, const mox_adapter* adapter,
                        const std::vector<int32_t>& tokens, int64_t prompt) {
  const int64_t vocabulary = 97;
  std::vector<float> logits(tokens.size() * static_cast<size_t>(vocabulary));
  for (int64_t at = 0; at < static_cast<int64_t>(tokens.size());) {
    const int64_t count = at == 0 ? prompt : 1;
    const mox_step step{sequence.get(), adapter, tokens.data() + at, count, logits.data() + at * vocabulary, count, 0};
    must(mox_model_step, model.get(), &step, size_t{1}, nullptr);
    at += count;
  }
  return logits;
}

TEST(Lifetime, HandlesAreFreedInAnyOrder) {
  const std::vector<int32_t> tokens = random_tokens(6, 97, 1);
  std::vector<uint32_t> expected;
  std::array<int, 6> order{0, 1, 2, 3, 4, 5};
  int permutation = 0;
  do {
    if (permutation++ % (MOXIE_SANITIZED ? 64 : 7) != 0) continue;
    Runtime runtime = make_runtime(2);
    Model model = open_model(runtime, parity_base("llama-h48-float32"));
    Adapter adapter = open_adapter(model, parity_adapter("h48-mixlora-attn"));
    Sequence sequence = make_sequence(model);
    mox_sequence* raw_fork = nullptr;
    must(mox_sequence_fork, sequence.get(), &raw_fork);
    Sequence fork(raw_fork);
    const mox_step first{sequence.get(), adapter.get(), tokens.data(), 1, nullptr, 0, 0};
    mox_routing* raw_routing = nullptr;
    must(mox_model_step, model.get(), &first, size_t{1}, &raw_routing);
    Routing routing(raw_routing);

    for (const int what : order) {
      if (what == 0) runtime.reset();
      if (what == 1) model.reset();
      if (what == 2) adapter.reset();
      if (what == 3) sequence.reset();
      if (what == 4) fork.reset();
      if (what == 5) routing.reset();
      // Whatever is left still does its work.
      if (model && adapter && sequence) {
        must(mox_sequence_truncate, sequence.get(), 0);
        const std::vector<uint32_t> found = bits_of(play(model, sequence, adapter.get(), tokens, 4));
        if (expected.empty()) expected = found;
        ASSERT_EQ(found, expected);
      }
      if (model && fork) {
        must(mox_sequence_truncate, fork.get(), 0);
        play(model, fork, nullptr, tokens, 2);
      }
      if (sequence) {
        ASSERT_GE(mox_sequence_length(sequence.get()), 1);
      }
      if (adapter) {
        ASSERT_EQ(describe(adapter).kind, MOX_ADAPTER_MIXLORA);
      }
      if (routing) {
        ASSERT_EQ(mox_routing_layers(routing.get()), 2);
      }
    }
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_FALSE(expected.empty());
}

TEST(Lifetime, AFeedForwardOutlivesItsRuntimeAndAnAdapterItsFeedForward) {
  Runtime runtime = make_runtime(2);
  FeedForward feed_forward = open_feed_forward(runtime, parity_base("llama-h48-float32"), 0);
  const Adapter adapter = open_adapter(feed_forward, parity_adapter("h48-mola-k2"));
  runtime.reset();
  const std::vector<float> input = random_rows(3, 48, 2);
  std::vector<float> output(input.size());
  const std::vector<mox_range> ranges{{adapter.get(), 0, 3}};
  mox_batch batch = batch_of(3, input.data(), output.data(), ranges);
  must(mox_feed_forward_run, feed_forward.get(), &batch, nullptr, nullptr);
  feed_forward.reset();
  EXPECT_EQ(describe(adapter).kind, MOX_ADAPTER_MOLA);
}

TEST(Lifetime, HoldersAreCounted) {
  const Runtime runtime = make_runtime(1);
  const Model model = open_model(runtime, parity_base("llama-h48-float32"));
  mox_adapter* adapter = nullptr;
  must(mox_adapter_open, model.get(), parity_adapter("h48-lora-r8").c_str(), &adapter);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(mox_adapter_retain(adapter), adapter);
  for (int i = 0; i < 10; ++i) mox_adapter_release(adapter);
  const Sequence sequence = make_sequence(model);
  play(model, sequence, adapter, {1, 2, 3}, 3);  // one holder is left
  mox_adapter_release(adapter);
}

TEST(Lifetime, ThreadsEndWithTheLastHandle) {
  make_runtime(2).reset();
  const size_t before = os_threads();
  {
    Runtime runtime = make_runtime(3);
    const Model model = open_model(runtime, parity_base("llama-h48-float32"));
    runtime.reset();
    const Sequence sequence = make_sequence(model);
    play(model, sequence, nullptr, {1, 2, 3}, 2);
    EXPECT_GT(os_threads(), before);
  }
  expect_threads_to_settle_at(before);
}

TEST(Lifetime, OpeningAndReleasingLeavesNothingBehind) {
  const Runtime runtime = make_runtime(2);
  const Model model = open_model(runtime, parity_base("llama-h48-bfloat16"));
  const auto cycle = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const Adapter adapter = open_adapter(model, parity_adapter(kinds()[i % kinds().size()]));
      // Refused halfway: nothing may be kept of it either.
      mox_adapter* none = nullptr;
      ASSERT_NE(mox_adapter_open(model.get(), parity_adapter("h128-mola-k2").c_str(), &none, nullptr), MOX_OK);
      const Sequence sequence = make_sequence(model);
      if (i % 10 == 0) play(model, sequence, adapter.get(), {5, 6, 7}, 2);
    }
  };
  const auto resident_pages = [] {
    size_t total = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> total >> resident;
    return resident;
  };
  cycle(100);
  const size_t threads = os_threads();
  const size_t files = open_files();
  const size_t pages = resident_pages();
  cycle(MOXIE_SANITIZED ? 50 : 1000);
  EXPECT_EQ(open_files(), files);
  expect_threads_to_settle_at(threads);
  // A sanitizer keeps what was freed for a while, and finds leaks by itself.
  if (!MOXIE_SANITIZED) {
    EXPECT_LT(resident_pages(), pages + 4096);  // 16 MB; the factors alone of 1000 adapters are over 30
  }
}

// An adapter that is replaced all the time; whoever wants it holds it for the length of a call.
class Slot {
 public:
  explicit Slot(Adapter adapter) : adapter_(std::move(adapter)) {}
  Adapter hold() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return Adapter(mox_adapter_retain(adapter_.get()));
  }
  void replace(Adapter fresh) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::swap(adapter_, fresh);
  }

 private:
  std::mutex mutex_;
  Adapter adapter_;
};

TEST(Lifetime, ManyCallersWhileAdaptersComeAndGo) {
  constexpr size_t callers = MOXIE_SANITIZED ? 8 : 64;
  constexpr size_t openers = 2;
  constexpr size_t runtime_threads = 2;
  constexpr int rounds = MOXIE_SANITIZED ? 3 : 25;
  const Runtime runtime = make_runtime(runtime_threads);
  const Model model = open_model(runtime, parity_base("llama-h48-bfloat16"));

  // Kind 0 is the plain base.
  std::vector<std::unique_ptr<Slot>> slots;
  std::vector<std::vector<int32_t>> lines;
  std::vector<std::vector<std::vector<uint32_t>>> alone;  // [kind][line]
  for (uint32_t line = 0; line < 5; ++line) lines.push_back(random_tokens(3 + 4 * line, 97, line));
  for (size_t kind = 0; kind <= kinds().size(); ++kind) {
    Adapter adapter;
    if (kind > 0) adapter = open_adapter(model, parity_adapter(kinds()[kind - 1]));
    alone.emplace_back();
    for (const auto& line : lines) {
      alone.back().push_back(bits_of(play(model, make_sequence(model), adapter.get(), line, 2)));
    }
    slots.push_back(std::make_unique<Slot>(std::move(adapter)));
  }

  const size_t before = os_threads();
  std::atomic<size_t> most{0};
  std::atomic<bool> finished{false};
  std::atomic<int> wrong{0};
  std::mutex failure_mutex;
  std::string failure;
  const auto guarded = [&](auto&& work) {
    try {
      work();
    } catch (const std::exception& e) {
      const std::lock_guard<std::mutex> lock(failure_mutex);
      failure = e.what();
    }
  };
  std::vector<std::thread> opening;
  for (size_t opener = 0; opener < openers; ++opener) {
    opening.emplace_back(guarded, [&, opener] {
      for (size_t i = opener; !finished; i += openers) {
        const size_t kind = 1 + i % kinds().size();
        slots[kind]->replace(open_adapter(model, parity_adapter(kinds()[kind - 1])));
      }
    });
  }
  std::vector<std::thread> calling;
  for (size_t caller = 0; caller < callers; ++caller) {
    calling.emplace_back(guarded, [&, caller] {
      for (size_t round = 0; round < rounds; ++round) {
        const size_t kind = (caller + round) % slots.size();
        const size_t line = (caller * 3 + round) % lines.size();
        const Adapter adapter = kind == 0 ? Adapter() : slots[kind]->hold();
        const std::vector<float> logits = play(model, make_sequence(model), adapter.get(), lines[line], 2);
        if (bits_of(logits) != alone[kind][line]) ++wrong;
      }
    });
  }
  std::thread watching([&] {
    while (!finished) {
      most = std::max<size_t>(most, os_threads());
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  for (std::thread& thread : calling) thread.join();
  finished = true;
  for (std::thread& thread : opening) thread.join();
  watching.join();

  EXPECT_EQ(failure, "");
  EXPECT_EQ(wrong, 0);
  // The callers, the watcher, and the openers, each of whom may read with as many threads as the runtime has.
  EXPECT_LE(most, before + callers + 1 + openers * runtime_threads);
  expect_threads_to_settle_at(before);
}

TEST(Lifetime, TwoHundredCallersMakeNoMoreThreadsThanOne) {
  constexpr size_t callers = MOXIE_SANITIZED ? 50 : 200;
  const Runtime runtime = make_runtime(2);
  const Model model = open_model(runtime, parity_base("llama-h48-float32"));
  const std::vector<int32_t> tokens = random_tokens(6, 97, 5);
  const std::vector<uint32_t> expected = bits_of(play(model, make_sequence(model), nullptr, tokens, 3));
  const size_t with_one = os_threads();

  std::atomic<size_t> waiting{0};
  std::atomic<size_t> served{0};
  std::atomic<bool> go{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> calling;
  for (size_t i = 0; i < callers; ++i) {
    calling.emplace_back([&] {
      ++waiting;
      while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      for (int round = 0; round < 3; ++round) {
        if (bits_of(play(model, make_sequence(model), nullptr, tokens, 3)) != expected) ++wrong;
      }
      ++served;
    });
  }
  while (waiting < callers) std::this_thread::yield();
  EXPECT_EQ(os_threads(), with_one + callers);
  go = true;
  size_t most = 0;
  while (served < callers) {
    most = std::max(most, os_threads());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (std::thread& thread : calling) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(most, with_one + callers);
  expect_threads_to_settle_at(with_one);
}

// Four threads for each CPU, and a neighbour on every CPU: whoever has no core must hold up nobody, and change nothing.
TEST(Lifetime, CoresThatAreTakenAwayChangeNothing) {
  const std::vector<int32_t> tokens = random_tokens(40, 97, 6);
  const auto logits = [&](int32_t threads) {
    const Runtime runtime = make_runtime(threads);
    const Model model = open_model(runtime, parity_base("llama-h48-float32"));
    const Adapter adapter = open_adapter(model, parity_adapter("h48-mixlora-attn"));
    std::vector<uint32_t> bits;
    for (int i = 0; i < 3; ++i) bits = bits_of(play(model, make_sequence(model), adapter.get(), tokens, 20));
    return bits;
  };
  const std::vector<uint32_t> alone = logits(1);
  const auto cpus = static_cast<int32_t>(std::thread::hardware_concurrency());
  std::atomic<bool> finished{false};
  std::vector<std::thread> neighbours;
  for (int32_t i = 0; i < cpus; ++i) {
    neighbours.emplace_back([&] {
      while (!finished) {
      }
    });
  }
  EXPECT_EQ(logits(4 * cpus), alone);
  finished = true;
  for (std::thread& neighbour : neighbours) neighbour.join();
}

TEST(Lifetime, ASequenceInACallIsRefusedToOthers) {
  const Runtime runtime = make_runtime(2);
  const Model model = open_model(runtime, parity_base("llama-h48-float32"));
  const Sequence sequence = make_sequence(model);
  const std::vector<int32_t> tokens = random_tokens(16, 97, 8);
  std::atomic<int64_t> taken{0};
  std::atomic<int> busy{0};
  std::atomic<int> other{0};
  std::atomic<int> tries{0};

  const auto note = [&](mox_status status, const mox_error& error) {
    if (status == MOX_OK) return true;
    const bool said = status == MOX_INVALID_ARGUMENT && std::string(error.message).find("call") != std::string::npos;
    ++(said ? busy : other);
    return false;
  };
  const auto step = [&] {
    const mox_step one{sequence.get(), nullptr, tokens.data(), static_cast<int64_t>(tokens.size()), nullptr, 0, 0};
    while (busy < 20 && ++tries < 4000) {
      mox_error error{};
      if (note(mox_model_step(model.get(), &one, 1, nullptr, &error), error)) ++taken;
      if (taken % 4 == 3) {  // keeps it short; may meet a call as well
        error = {};
        mox_sequence* raw = nullptr;
        if (note(mox_sequence_fork(sequence.get(), &raw, &error), error)) mox_sequence_free(raw);
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(step);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(busy, 20);
  EXPECT_EQ(other, 0);
  EXPECT_GT(taken, 0);
  EXPECT_EQ(mox_sequence_length(sequence.get()), taken * static_cast<int64_t>(tokens.size()));
}

TEST(Lifetime, TwoRuntimesSideBySide) {
  const Runtime first = make_runtime(2);
  const Runtime second = make_runtime(1, {MOX_ISA_BEST, MOX_BACKEND_REFERENCE});
  const Model a = open_model(first, parity_base("llama-h48-float32"));
  const Model b = open_model(second, parity_base("llama-h48-float32"));
  const std::vector<int32_t> tokens = random_tokens(9, 97, 8);
  const std::vector<float> of_a = play(a, make_sequence(a), nullptr, tokens, 5);
  const std::vector<float> of_b = play(b, make_sequence(b), nullptr, tokens, 5);
  std::atomic<int> wrong{0};
  const auto work = [&](const Model& model, const std::vector<float>& expected) {
    for (int i = 0; i < (MOXIE_SANITIZED ? 5 : 50); ++i) {
      if (bits_of(play(model, make_sequence(model), nullptr, tokens, 5)) != bits_of(expected)) ++wrong;
    }
  };
  std::thread one(work, std::cref(a), std::cref(of_a));
  std::thread two(work, std::cref(b), std::cref(of_b));
  std::thread three(work, std::cref(a), std::cref(of_a));
  one.join();
  two.join();
  three.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace api_test
