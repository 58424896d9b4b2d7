#include "cache/opened.h"

#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <memory>
#include <stdexcept>

namespace moxie::test {
namespace {

template <auto Release>
struct Releaser {
  template <typename T>
  void operator()(T* handle) const {
    Release(handle);
  }
};

void keep_line(void* payload, mox_log_level level, const char* text) {
  auto* opened = static_cast<Opened*>(payload);
  opened->log.emplace_back(text);
  if (level == MOX_LOG_WARNING) opened->warnings.emplace_back(text);
}

template <typename Function, typename... Arguments>
void must(Function function, Arguments... arguments) {
  mox_error error{};
  if (function(arguments..., &error) != MOX_OK) throw std::runtime_error(error.message);
}

std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

void run_model(mox_runtime* runtime, const char* folder, const mox_load_options& load, Opened* opened) {
  mox_model* raw = nullptr;
  must(mox_model_open, runtime, folder, &load, &raw);
  const std::unique_ptr<mox_model, Releaser<mox_model_free>> model(raw);
  mox_model_info info{};
  info.struct_size = sizeof(info);
  must(mox_model_describe, raw, &info);
  opened->weight_bytes = info.weight_bytes;
  mox_sequence* sequence = nullptr;
  must(mox_sequence_create, raw, nullptr, &sequence);
  const std::unique_ptr<mox_sequence, Releaser<mox_sequence_free>> owner(sequence);
  const std::vector<int32_t> tokens{1, 3, 2, 0, 4};
  std::vector<float> logits(static_cast<size_t>(info.vocabulary));
  mox_step step{};
  step.sequence = sequence;
  step.tokens = tokens.data();
  step.token_count = static_cast<int64_t>(tokens.size());
  step.logits = logits.data();
  step.logits_rows = 1;
  must(mox_model_step, raw, &step, size_t{1}, nullptr);
  opened->logits = bits_of(logits);
}

void run_feed_forward(mox_runtime* runtime, const char* folder, int layer, const mox_load_options& load,
                      Opened* opened) {
  mox_feed_forward* raw = nullptr;
  must(mox_feed_forward_open, runtime, folder, layer, &load, &raw);
  const std::unique_ptr<mox_feed_forward, Releaser<mox_feed_forward_free>> owner(raw);
  mox_feed_forward_info info{};
  info.struct_size = sizeof(info);
  must(mox_feed_forward_describe, raw, &info);
  opened->weight_bytes = info.weight_bytes;
  std::vector<float> rows(static_cast<size_t>(info.hidden), 0.25F), output(rows.size());
  const mox_range all{nullptr, 0, 1};
  mox_batch batch;
  mox_batch_init(&batch, sizeof(batch));
  batch.rows = 1;
  batch.input = rows.data();
  batch.output = output.data();
  batch.ranges = &all;
  batch.range_count = 1;
  must(mox_feed_forward_run, raw, &batch, nullptr, nullptr);
  opened->logits = bits_of(output);
}

}  // namespace

Opened open_and_run(const std::string& folder, const CacheOptions& options, int threads, int layer) {
  Opened opened;
  mox_runtime_options settings;
  mox_runtime_options_init(&settings, sizeof(settings));
  settings.threads = threads;
  settings.log = keep_line;
  settings.log_payload = &opened;
  settings.log_level = MOX_LOG_INFO;
  mox_runtime* raw = nullptr;
  must(mox_runtime_create, &settings, &raw);
  const std::unique_ptr<mox_runtime, Releaser<mox_runtime_free>> runtime(raw);
  mox_load_options load;
  mox_load_options_init(&load, sizeof(load));
  load.weights = options.weights;
  load.map_files = options.map_files ? 1 : 0;
  load.packed_cache = options.mode;
  load.map_packed_cache = options.map ? 1 : 0;
  load.storage = options.storage;
  if (!options.path.empty()) load.packed_cache_path = options.path.c_str();
  if (layer < 0) {
    run_model(raw, folder.c_str(), load, &opened);
  } else {
    run_feed_forward(raw, folder.c_str(), layer, load, &opened);
  }
  return opened;
}

std::vector<std::string> run_children(const std::vector<std::vector<std::string>>& commands) {
  struct Child {
    pid_t id;
    int output;
  };
  std::vector<Child> children;
  for (const auto& command : commands) {
    std::vector<char*> raw{const_cast<char*>("child")};
    for (const std::string& argument : command) raw.push_back(const_cast<char*>(argument.c_str()));
    raw.push_back(nullptr);
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("pipe failed");
    const pid_t id = fork();
    if (id < 0) throw std::runtime_error("fork failed");
    if (id == 0) {
      dup2(ends[1], STDOUT_FILENO);
      close(ends[0]);
      close(ends[1]);
      execv("/proc/self/exe", raw.data());
      _exit(127);
    }
    close(ends[1]);
    children.push_back({id, ends[0]});
  }
  std::vector<std::string> outputs;
  bool failed = false;
  for (const Child& child : children) {
    std::string text;
    char buffer[4096];
    for (ssize_t got = read(child.output, buffer, sizeof buffer); got > 0;
         got = read(child.output, buffer, sizeof buffer)) {
      text.append(buffer, static_cast<size_t>(got));
    }
    close(child.output);
    int status = 0;
    waitpid(child.id, &status, 0);
    failed = failed || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    outputs.push_back(text);
  }
  if (failed) throw std::runtime_error("a child failed: " + outputs.front());
  return outputs;
}

std::string run_child(const std::vector<std::string>& arguments) { return run_children({arguments}).front(); }

}  // namespace moxie::test
