#include "checkpoint/tensor_source.h"

#include <algorithm>
#include <cstring>

#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

// A source over one file has that file as its path; one over a folder has the folder.
std::string file_of(const TensorSource& source, const TensorEntry& entry) {
  const std::string& path = source.path();
  if (path == entry.file || path.ends_with("/" + entry.file)) return path;
  return join_path(path, entry.file);
}

int64_t elements_of(const std::vector<int64_t>& shape) {
  int64_t product = 1;
  for (const int64_t dimension : shape) product *= dimension;
  return product;
}

void require_weight_dtype(const TensorSource& source, const TensorEntry& entry) {
  if (is_weight_dtype(entry.dtype)) return;
  throw unsupported(tensor_place(source, entry) + " is " + dtype_name(entry.dtype) +
                    "; expected float32, bfloat16 or float16");
}

}  // namespace

int64_t TensorEntry::elements() const { return elements_of(shape); }

std::string TensorEntry::describe() const { return std::string(dtype_name(dtype)) + " " + shape_text(shape); }

int64_t TensorSource::find(std::string_view name) const {
  const auto& all = entries();
  const auto found = std::lower_bound(all.begin(), all.end(), name,
                                      [](const TensorEntry& entry, std::string_view key) { return entry.name < key; });
  if (found == all.end() || found->name != name) return -1;
  return found - all.begin();
}

TensorReader::TensorReader(const TensorSource& source) : source_(&source), used_(source.entries().size(), false) {}

bool TensorReader::has(std::string_view name) const { return source_->find(name) >= 0; }

const TensorEntry& TensorReader::require(std::string_view name, const std::vector<int64_t>& shape) {
  const int64_t index = source_->find(name);
  if (index < 0) {
    throw invalid_file(source_->path() + ": tensor " + quote(name) + " is missing; expected " + shape_text(shape));
  }
  const TensorEntry& entry = source_->entries()[static_cast<size_t>(index)];
  if (entry.shape != shape) {
    throw invalid_file(tensor_place(*source_, entry) + " is " + shape_text(entry.shape) + "; expected " +
                       shape_text(shape));
  }
  used_[static_cast<size_t>(index)] = true;
  return entry;
}

bool TensorReader::pass_over(std::string_view name) {
  const int64_t index = source_->find(name);
  if (index >= 0) used_[static_cast<size_t>(index)] = true;
  return index >= 0;
}

std::vector<float> TensorReader::read_float32(std::string_view name, const std::vector<int64_t>& shape) {
  const TensorEntry& entry = require(name, shape);
  require_weight_dtype(*source_, entry);
  const auto index = static_cast<size_t>(&entry - source_->entries().data());
  const int64_t count = entry.elements();
  std::vector<float> values(static_cast<size_t>(count));
  if (entry.dtype == MOX_F32) {
    source_->read(index, 0, count, values.data());
    return values;
  }
  std::vector<uint16_t> stored(static_cast<size_t>(count));
  source_->read(index, 0, count, stored.data());
  const auto widen = entry.dtype == MOX_BF16 ? widen_bfloat16 : widen_float16;
  std::transform(stored.begin(), stored.end(), values.begin(), widen);
  return values;
}

void TensorReader::read_rows(const TensorEntry& entry, int64_t first, int64_t count, void* destination) const {
  const int64_t columns = entry.shape.empty() ? 1 : elements_of({entry.shape.begin() + 1, entry.shape.end()});
  source_->read(static_cast<size_t>(&entry - source_->entries().data()), first * columns, count * columns, destination);
}

void TensorReader::refuse_unused(const std::string& whose) const {
  std::vector<std::string> names;
  int64_t total = 0;
  for (size_t index = 0; index < used_.size(); ++index) {
    if (used_[index]) continue;
    ++total;
    if (names.size() < 8) names.push_back(source_->entries()[index].name);
  }
  if (total == 0) return;
  throw invalid_file(source_->path() + ": the " + whose + " has no use for " +
                     (total == 1 ? std::string("tensor ") : std::to_string(total) + " of its tensors: ") +
                     list_names(names, total));
}

std::string tensor_place(const TensorSource& source, const TensorEntry& entry) {
  return file_of(source, entry) + ": tensor " + quote(entry.name);
}

bool is_weight_dtype(DType dtype) { return dtype == MOX_F32 || dtype == MOX_BF16 || dtype == MOX_F16; }

}  // namespace moxie::checkpoint
