#include "model/weights_loader.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "runtime/error.h"
#include "runtime/huge_memory.h"
#include "runtime/parallel.h"

namespace moxie::model {
namespace {

using checkpoint::TensorEntry;

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

}  // namespace moxie::model
