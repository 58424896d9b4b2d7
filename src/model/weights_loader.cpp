#include "model/weights_loader.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "runtime/error.h"
#include "runtime/huge_memory.h"
#include "runtime/parallel.h"

namespace moxie::model {
namespace {

using checkpoint::Architecture;
using checkpoint::tensor_name;
using checkpoint::TensorEntry;
using checkpoint::TensorNames;

// A piece is read, then packed while it is still in the second cache.
constexpr int64_t piece_bytes = int64_t{512} << 10;

// Whole panels of rows, at least one.
int64_t rows_of_piece(int64_t row_bytes) {
  const int64_t panels = piece_bytes / std::max<int64_t>(row_bytes * kernels::panel_width, 1);
  return std::max<int64_t>(panels, 1) * kernels::panel_width;
}

int64_t bytes_of_row(const TensorEntry& entry) { return entry.shape[0] == 0 ? 0 : entry.bytes / entry.shape[0]; }

// Buffers that go from task to task: a fresh one for each would have its pages cleared by the system.
class Buffers {
 public:
  explicit Buffers(size_t size) : size_(size) {}

  template <typename Use>
  void with(Use&& use) {
    std::unique_ptr<std::byte[]> buffer = take();
    use(buffer.get());
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(buffer));
  }

 private:
  std::unique_ptr<std::byte[]> take() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<std::byte[]> buffer = std::move(free_.back());
        free_.pop_back();
        return buffer;
      }
    }
    return std::make_unique_for_overwrite<std::byte[]>(size_);
  }

  size_t size_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<std::byte[]>> free_;
};

}  // namespace

WeightsLoader::WeightsLoader(const checkpoint::Checkpoint& checkpoint, const LoadSettings& settings, std::string holds)
    : checkpoint_(checkpoint), settings_(settings), holds_(std::move(holds)), reader_(*checkpoint.tensors) {}

void WeightsLoader::decide_dtype(const std::vector<std::string>& weight_names) {
  if (settings_.weights != MOX_WEIGHTS_AS_STORED) {
    dtype_ = settings_.weights == MOX_WEIGHTS_BF16 ? MOX_BF16 : MOX_F32;
    return;
  }
  const checkpoint::TensorSource& source = reader_.source();
  dtype_ = std::all_of(weight_names.begin(), weight_names.end(),
                       [&](const std::string& name) {
                         const int64_t index = source.find(name);
                         return index >= 0 && source.entries()[static_cast<size_t>(index)].dtype == MOX_BF16;
                       })
               ? MOX_BF16
               : MOX_F32;
}

void WeightsLoader::add_linear(const std::string& name, int64_t out, int64_t in, bool with_bias, moe::Linear* linear) {
  const TensorEntry& entry = reader_.require(name, {out, in});
  if (!checkpoint::is_weight_dtype(entry.dtype)) {
    throw unsupported(entry.file + ": tensor " + name + " is " + entry.describe() +
                      "; expected float32, bfloat16 or float16");
  }
  linears_.push_back({&linear->weight, &entry, out, in});
  parameters_ += out * in;
  if (with_bias) linear->bias = vector(checkpoint::bias_name(name), out);
}

std::vector<float> WeightsLoader::vector(const std::string& name, int64_t size) {
  parameters_ += size;
  return reader_.read_float32(name, {size});
}

std::vector<float> WeightsLoader::matrix_float32(const std::string& name, int64_t rows, int64_t columns) {
  parameters_ += rows * columns;
  return reader_.read_float32(name, {rows, columns});
}

std::shared_ptr<const std::byte> WeightsLoader::add_rows(const TensorEntry& entry) {
  const std::shared_ptr<std::byte> memory = huge_memory(static_cast<size_t>(entry.bytes));
  rows_.push_back({memory.get(), &entry});
  return memory;
}

void WeightsLoader::copy_rows() const {
  struct Task {
    std::byte* to;
    const TensorEntry* entry;
    int64_t first, rows;
  };
  std::vector<Task> tasks;
  for (const Rows& from : rows_) {
    const int64_t n = from.entry->shape[0], row_bytes = bytes_of_row(*from.entry), rows = rows_of_piece(row_bytes);
    for (int64_t first = 0; first < n; first += rows) {
      tasks.push_back({from.to + first * row_bytes, from.entry, first, std::min(rows, n - first)});
    }
  }
  parallel_for(settings_.threads, static_cast<int64_t>(tasks.size()), [&](int64_t index) {
    const Task& task = tasks[static_cast<size_t>(index)];
    reader_.read_rows(*task.entry, task.first, task.rows, task.to);
  });
}

kernels::PackedTogether WeightsLoader::pack() const {
  int64_t largest = 0;
  for (const Linear& linear : linears_) {
    const int64_t row_bytes = bytes_of_row(*linear.entry);
    largest = std::max(largest, std::min(rows_of_piece(row_bytes), linear.n) * row_bytes);
  }
  Buffers buffers(static_cast<size_t>(largest));
  std::vector<kernels::MatrixToPack> matrices;
  for (const Linear& linear : linears_) {
    const TensorEntry* const entry = linear.entry;
    const auto read_and_pack = [this, &buffers, entry](int64_t first, int64_t rows, int64_t to_row,
                                                       kernels::PackedMatrix* to) {
      buffers.with([&](std::byte* buffer) {
        reader_.read_rows(*entry, first, rows, buffer);
        to->pack_rows(to_row, rows, buffer, entry->dtype, to->k());
      });
    };
    matrices.push_back({linear.matrix, linear.n, linear.k, rows_of_piece(bytes_of_row(*entry)), read_and_pack});
  }
  return kernels::pack_together(matrices, dtype_, settings_.storage, settings_.threads, [&](size_t i) {
    settings_.log(MOX_LOG_INFO, linears_[i].entry->name + " cannot be held compact: packed anew");
  });
}

void WeightsLoader::run() {
  copy_rows();
  std::vector<cache::PackedSection> sections;
  for (const Linear& linear : linears_) sections.push_back({linear.entry->name, dtype_, linear.n, linear.k});
  cache::PackedCache cache(settings_.cache, settings_.log, checkpoint_, holds_, sections, settings_.storage.aim(dtype_),
                           settings_.storage.takes_either(dtype_), settings_.threads);
  const auto kept = cache.load();
  if (kept.data != nullptr) {
    for (size_t i = 0; i < linears_.size(); ++i) {
      const cache::PackedSection& section = kept.sections[i];
      const std::shared_ptr<const std::byte> memory(kept.data, kept.data.get() + section.offset);
      *linears_[i].matrix = kernels::PackedMatrix(section.dtype, section.n, section.k, section.storage, memory);
    }
    return;
  }

  kernels::PackedTogether packed = pack();
  for (size_t i = 0; i < linears_.size(); ++i) {
    const kernels::PackedArena::Section& section = packed.arena.sections()[i];
    sections[i].storage = section.storage;
    sections[i].offset = static_cast<int64_t>(section.offset);
    sections[i].bytes = static_cast<int64_t>(section.bytes);
  }
  const auto mapped = cache.save(sections, packed.memory.get(), static_cast<int64_t>(packed.arena.bytes()));
  if (mapped != nullptr) packed.arena.bind(mapped);
}

std::vector<std::string> feed_forward_linears(const Architecture& architecture, int64_t layer) {
  const TensorNames& names = architecture.names;
  std::vector<std::string> result;
  if (architecture.experts == 0) {
    for (const std::string* pattern : {&names.gate, &names.up, &names.down}) {
      if (!pattern->empty()) result.push_back(tensor_name(*pattern, layer));
    }
  }
  for (int64_t e = 0; e < architecture.experts; ++e) {
    for (const std::string* pattern : {&names.expert_gate, &names.expert_up, &names.expert_down}) {
      result.push_back(tensor_name(*pattern, layer, e));
    }
  }
  return result;
}

std::vector<std::string> attention_linears(const Architecture& architecture, int64_t layer) {
  const TensorNames& names = architecture.names;
  return {tensor_name(names.q, layer), tensor_name(names.k, layer), tensor_name(names.v, layer),
          tensor_name(names.o, layer)};
}

void add_feed_forward(WeightsLoader* loader, int64_t layer, moe::FeedForward* feed_forward) {
  const Architecture& a = loader->architecture();
  const TensorNames& names = a.names;
  feed_forward->hidden = a.hidden;
  feed_forward->ffn = a.ffn;
  feed_forward->activation = a.activation;
  const bool bank = a.experts > 0;
  const std::string& up = bank ? names.expert_up : names.up;
  feed_forward->gated = !up.empty();
  feed_forward->experts.resize(static_cast<size_t>(std::max(a.experts, 1)));
  for (size_t e = 0; e < feed_forward->experts.size(); ++e) {
    moe::Expert& expert = feed_forward->experts[e];
    auto name = [&](const std::string& pattern) { return tensor_name(pattern, layer, static_cast<int64_t>(e)); };
    const bool bias = a.feed_forward_bias;
    loader->add_linear(name(bank ? names.expert_gate : names.gate), a.ffn, a.hidden, bias, &expert.gate);
    if (feed_forward->gated) loader->add_linear(name(up), a.ffn, a.hidden, bias, &expert.up);
    loader->add_linear(name(bank ? names.expert_down : names.down), a.hidden, a.ffn, bias, &expert.down);
  }
  if (!bank) return;
  adapter::Router router;
  router.kind = MOX_ROUTER_TOP_K;
  router.experts = a.experts;
  router.top_k = a.top_k;
  router.in = a.hidden;
  router.set_gate(loader->matrix_float32(tensor_name(names.router, layer), a.experts, a.hidden));
  feed_forward->router = std::move(router);
}

void add_block(WeightsLoader* loader, int64_t layer, transformer::Block* block) {
  const Architecture& a = loader->architecture();
  const TensorNames& names = a.names;
  const int64_t query = static_cast<int64_t>(a.heads) * a.head_dim;
  const int64_t cache = static_cast<int64_t>(a.kv_heads) * a.head_dim;
  block->attention_norm = loader->vector(tensor_name(names.attention_norm, layer), a.hidden);
  block->feed_forward_norm = loader->vector(tensor_name(names.feed_forward_norm, layer), a.hidden);
  loader->add_linear(tensor_name(names.q, layer), query, a.hidden, a.attention_bias, &block->q);
  loader->add_linear(tensor_name(names.k, layer), cache, a.hidden, a.attention_bias, &block->k);
  loader->add_linear(tensor_name(names.v, layer), cache, a.hidden, a.attention_bias, &block->v);
  loader->add_linear(tensor_name(names.o, layer), a.hidden, query, a.output_bias, &block->o);
  add_feed_forward(loader, layer, &block->feed_forward);
  block->window = a.windows.empty() ? 0 : a.windows[static_cast<size_t>(layer)];
}

transformer::Geometry geometry_of(const Architecture& a) {
  transformer::Geometry geometry;
  geometry.hidden = a.hidden;
  geometry.heads = a.heads;
  geometry.kv_heads = a.kv_heads;
  geometry.head_dim = a.head_dim;
  geometry.norm_epsilon = a.norm_epsilon;
  geometry.rope = a.rope;
  return geometry;
}

void require_layer(const checkpoint::Checkpoint& checkpoint, int64_t layer) {
  if (layer < 0 || layer >= checkpoint.architecture.layers) {
    throw not_found(checkpoint.folder + ": layer " + std::to_string(layer) + " is asked for; the checkpoint has " +
                    std::to_string(checkpoint.architecture.layers));
  }
}

}  // namespace moxie::model
