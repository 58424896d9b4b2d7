// What the bindings are compared with: chosen parity cases as the C library computes them, bit for bit. A case becomes
// a folder with a plan that is read without a JSON or safetensors reader, and raw little-endian float32 files.
//
//   record_cases CASES OUTPUT     (tests/data/parity/cases, a folder that is made)
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <numeric>

#include "cli/failure.h"
#include "cli/parity/case.h"

namespace fs = std::filesystem;
using namespace moxie::cli;
using moxie::cli::parity::Case;

namespace {

struct Chosen {
  const char* name;
  mox_weights weights;
};

// Each way of holding weights on each kind of checkpoint; every kind of adapter beside others in one batch.
constexpr Chosen kChosen[] = {
    {"ff-mixed-h128-float32", MOX_WEIGHTS_AS_STORED},
    {"ff-mixed-h128-bfloat16", MOX_WEIGHTS_AS_STORED},
    {"ff-mixed-nine-l1-float32", MOX_WEIGHTS_AS_STORED},
    {"ff-mixed-nine-l1-bfloat16", MOX_WEIGHTS_F32},
    {"ff-mixed-nine-l5-float32", MOX_WEIGHTS_BF16},
    {"ff-mixed-nine-l5-bfloat16", MOX_WEIGHTS_AS_STORED},
    {"ff-two-mixloras-and-plugins-float32", MOX_WEIGHTS_AS_STORED},
    {"mistral-moe-40x72-e5k2", MOX_WEIGHTS_AS_STORED},
    {"model-nine-right-float32", MOX_WEIGHTS_AS_STORED},
    {"model-nine-right-bfloat16", MOX_WEIGHTS_AS_STORED},
    {"model-four-left-float32", MOX_WEIGHTS_BF16},
    {"mixtral", MOX_WEIGHTS_AS_STORED},
};

const char* weights_name(mox_weights weights) {
  switch (weights) {
    case MOX_WEIGHTS_F32:
      return "f32";
    case MOX_WEIGHTS_BF16:
      return "bf16";
    default:
      return "as_stored";
  }
}

// Paths and names stand in the plan as words.
std::string word(const std::string& text) {
  if (text.empty() || text == "-" || text.find_first_of(" \t\r\n") != std::string::npos) {
    throw Failure("'" + text + "' cannot be a word of a plan: the project's path must have no spaces");
  }
  return text;
}

std::string path_word(const std::string& path) { return word(fs::absolute(path).lexically_normal().string()); }

void write_floats(const fs::path& path, const std::vector<float>& values) {
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
    throw Failure(path.string() + ": a value is not finite");
  }
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  if (!file.flush()) throw Failure(path.string() + ": cannot be written");
}

void write_plan(const fs::path& folder, const std::vector<std::string>& lines) {
  std::ofstream file(folder / "plan.txt");
  for (const auto& line : lines) file << line << '\n';
  if (!file.flush()) throw Failure((folder / "plan.txt").string() + ": cannot be written");
}

// What an earlier list of cases left behind would be compared with as well.
void remove_recordings(const fs::path& output) {
  if (!fs::exists(output)) return;
  std::vector<fs::path> recordings;
  for (const auto& entry : fs::directory_iterator(output)) {
    if (fs::exists(entry.path() / "plan.txt")) recordings.push_back(entry.path());
  }
  for (const auto& recording : recordings) fs::remove_all(recording);
}

class Recording {
 public:
  Recording(const Case& c, mox_weights weights, const Runtime& runtime, fs::path folder)
      : case_(c), runtime_(runtime), folder_(std::move(folder)), load_(defaults(mox_load_options_init)) {
    load_.weights = weights;
    fs::create_directories(folder_);
  }

  void run() {
    const bool model = case_.kind == "model";
    plan_ = {std::string("kind ") + (model ? "model" : "feed_forward"), "base " + path_word(case_.base()),
             std::string("weights ") + weights_name(load_.weights)};
    model ? run_model() : run_feed_forward();
    write_plan(folder_, plan_);
  }

 private:
  void run_feed_forward() {
    case_.understand({"family"}, {"hidden_states"});
    const auto states = case_.input("hidden_states", 3);
    const int64_t sequences = states.shape[0], rows = states.shape[1], hidden = states.shape[2];
    case_.expect_sequences(sequences);
    const auto feed_forward =
        make<FeedForward>(mox_feed_forward_open, runtime_.get(), case_.base().c_str(), case_.layer(), &load_);
    plan_.push_back("layer " + std::to_string(case_.layer()));
    plan_.push_back("rows " + std::to_string(sequences * rows));
    plan_.push_back("hidden " + std::to_string(hidden));
    open_adapters([&](const char* folder) {
      return make<Adapter>(mox_adapter_open_for_feed_forward, feed_forward.get(), folder, int32_t{-1});
    });

    // A range for each sequence, since a range is a sequence to the routers that count one's rows.
    std::vector<mox_range> ranges;
    for (const auto& range : case_.ranges) {
      for (int64_t s = range.begin; s < range.end; ++s) {
        ranges.push_back({adapter(range.adapter), s * rows, (s + 1) * rows});
        plan_.push_back("range " + std::to_string(s * rows) + " " + std::to_string((s + 1) * rows) + " " +
                        adapter_word(range.adapter));
      }
    }
    const auto input = states.floats();
    std::vector<float> output(input.size());
    auto batch = defaults(mox_batch_init);
    batch.rows = sequences * rows;
    batch.input = input.data();
    batch.input_dtype = MOX_F32;
    batch.output = output.data();
    batch.output_dtype = MOX_F32;
    batch.ranges = ranges.data();
    batch.range_count = ranges.size();
    call(mox_feed_forward_run, feed_forward.get(), &batch, nullptr, nullptr);
    if (load_.weights == MOX_WEIGHTS_AS_STORED) expect("hidden_states", output);
    write_floats(folder_ / "input.bin", input);
    write_floats(folder_ / "output.bin", output);
  }

  void run_model() {
    case_.understand({"new_tokens", "padding"}, {"input_ids", "attention_mask", "labels"});
    const auto model = make<Model>(mox_model_open, runtime_.get(), case_.base().c_str(), &load_);
    const auto vocabulary = describe<mox_model_info>(mox_model_describe, model).vocabulary;
    open_adapters([&](const char* folder) { return make<Adapter>(mox_adapter_open, model.get(), folder); });
    const auto sequences = read_tokens();
    case_.expect_sequences(static_cast<int64_t>(sequences.size()));

    std::vector<std::string> names(sequences.size());
    for (const auto& range : case_.ranges)
      std::fill(names.begin() + range.begin, names.begin() + range.end, range.adapter);
    std::vector<std::vector<float>> logits;
    std::vector<Sequence> caches;
    std::vector<mox_step> steps;
    for (size_t s = 0; s < sequences.size(); ++s) {
      const auto rows = static_cast<int64_t>(sequences[s].size());
      logits.emplace_back(static_cast<size_t>(rows * vocabulary));
      caches.push_back(make<Sequence>(mox_sequence_create, model.get(), nullptr));
      steps.push_back({caches[s].get(), adapter(names[s]), sequences[s].data(), rows, logits[s].data(), rows, 0});
      auto line = "sequence " + adapter_word(names[s]);
      for (const auto token : sequences[s]) line += " " + std::to_string(token);
      plan_.push_back(line);
    }
    plan_.push_back("vocabulary " + std::to_string(vocabulary));
    call(mox_model_step, model.get(), steps.data(), steps.size(), nullptr);

    if (load_.weights == MOX_WEIGHTS_AS_STORED && case_.option<std::string>("padding", "right") == "right") {
      for (size_t r = 0; r < case_.ranges.size(); ++r) {
        const auto& range = case_.ranges[r];
        expect("logits." + std::to_string(r), joined(logits, range.begin, range.end));
      }
    }
    write_floats(folder_ / "logits.bin", joined(logits, 0, static_cast<int64_t>(logits.size())));
  }

  // The tokens without their padding. A sequence padded on its left begins at position 0 here, unlike in the case.
  std::vector<std::vector<int32_t>> read_tokens() const {
    const auto ids = case_.input("input_ids", 2), mask = case_.input("attention_mask", 2);
    const auto id_values = ids.integers(), mask_values = mask.integers();
    if (ids.shape != mask.shape) throw Failure(case_.name + ": input_ids and attention_mask differ in shape");
    std::vector<std::vector<int32_t>> sequences(static_cast<size_t>(ids.shape[0]));
    for (size_t i = 0; i < id_values.size(); ++i) {
      if (mask_values[i])
        sequences[i / static_cast<size_t>(ids.shape[1])].push_back(static_cast<int32_t>(id_values[i]));
    }
    return sequences;
  }

  template <typename Open>
  void open_adapters(Open open) {
    for (const auto& range : case_.ranges) {
      if (range.adapter.empty() || adapters_.count(range.adapter)) continue;
      const auto folder = case_.adapter_folder(range.adapter);
      adapters_[range.adapter] = open(folder.c_str());
      plan_.push_back("adapter " + word(range.adapter) + " " + path_word(folder));
    }
  }

  const mox_adapter* adapter(const std::string& name) const {
    return name.empty() ? nullptr : adapters_.at(name).get();
  }

  static std::string adapter_word(const std::string& name) { return name.empty() ? "-" : word(name); }

  static std::vector<float> joined(const std::vector<std::vector<float>>& parts, int64_t begin, int64_t end) {
    return std::accumulate(parts.begin() + begin, parts.begin() + end, std::vector<float>(),
                           [](auto whole, const auto& part) {
                             whole.insert(whole.end(), part.begin(), part.end());
                             return whole;
                           });
  }

  // The case as it was meant: within its own limit of the reference's result.
  void expect(const std::string& name, const std::vector<float>& values) const {
    const auto truth = case_.expected(name).reals();
    const auto output = std::find_if(case_.outputs.begin(), case_.outputs.end(),
                                     [&](const auto& candidate) { return candidate.name == name; });
    if (output == case_.outputs.end() || truth.size() != values.size()) {
      throw Failure(case_.name + ": " + name + " has " + std::to_string(values.size()) + " values, the case " +
                    std::to_string(truth.size()));
    }
    double difference = 0, size = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      difference += (values[i] - truth[i]) * (values[i] - truth[i]);
      size += truth[i] * truth[i];
    }
    const double error = std::sqrt(difference / size);
    if (!(error <= output->limit.relative_l2)) {
      throw Failure(case_.name + ": " + name + " is off by " + std::to_string(error));
    }
  }

  const Case& case_;
  const Runtime& runtime_;
  const fs::path folder_;
  mox_load_options load_;
  std::map<std::string, Adapter> adapters_;
  std::vector<std::string> plan_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: record_cases CASES OUTPUT\n");
    return 2;
  }
  const fs::path cases(argv[1]), output(argv[2]);
  try {
    remove_recordings(output);
    const auto runtime = make<Runtime>(mox_runtime_create, nullptr);
    for (const auto& chosen : kChosen) {
      const Case c(cases / chosen.name);
      Recording(c, chosen.weights, runtime, output / chosen.name).run();
      std::printf("%s\n", chosen.name);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "record_cases: %s\n", error.what());
    return 1;
  }
  return 0;
}
