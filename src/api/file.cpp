#include "moxie/file.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "adapter/describe_adapter.h"
#include "api/call.h"
#include "cache/packed_file.h"
#include "checkpoint/adapter_tensors.h"
#include "checkpoint/file_access.h"
#include "checkpoint/inspect.h"
#include "checkpoint/text.h"

struct mox_file {
  mox_file_kind kind = MOX_FILE_TENSORS;
  moxie::checkpoint::Inspection inspection;
};

namespace {

using moxie::Error;
using moxie::checkpoint::Inspection;
using moxie::checkpoint::TensorEntry;

Inspection inspect_adapter(const std::string& folder) {
  Inspection result;
  try {
    result.tensors = moxie::checkpoint::open_adapter_tensors(folder);
  } catch (const Error& error) {
    result.problems.emplace_back(error.what());
  }
  auto description = moxie::adapter::describe_adapter(folder, result.tensors.get());
  result.family = std::move(description.kind);
  result.format = std::move(description.format);
  result.settings = std::move(description.settings);
  result.problems.insert(result.problems.end(), description.problems.begin(), description.problems.end());
  return result;
}

const std::vector<TensorEntry>& entries_of(const mox_file& file) {
  static const std::vector<TensorEntry> none;
  return file.inspection.tensors ? file.inspection.tensors->entries() : none;
}

// `size` entries of what `file` holds; "tensor 7 of 3".
size_t require_index(int64_t index, size_t size, const char* what) {
  if (index >= 0 && static_cast<uint64_t>(index) < size) return static_cast<size_t>(index);
  throw moxie::not_found(std::string(what) + " " + std::to_string(index) + "; there are " + std::to_string(size));
}

}  // namespace

mox_status mox_file_open(const char* path, mox_file** file, mox_error* error) {
  return moxie::api::guard(error, [&] {
    moxie::api::require_not_null(path, "path");
    moxie::api::require_not_null(file, "file");
    auto result = std::make_unique<mox_file>();
    if (!moxie::checkpoint::is_folder(path)) {
      result->kind = MOX_FILE_TENSORS;
      result->inspection = moxie::cache::is_packed_file(path) ? moxie::cache::inspect_packed_file(path)
                                                              : moxie::checkpoint::inspect_tensor_file(path);
    } else if (moxie::checkpoint::is_adapter_folder(path)) {
      result->kind = MOX_FILE_ADAPTER;
      result->inspection = inspect_adapter(path);
    } else {
      result->kind = MOX_FILE_CHECKPOINT;
      result->inspection = moxie::checkpoint::inspect_checkpoint(path);
    }
    *file = result.release();
  });
}

void mox_file_free(mox_file* file) { delete file; }

mox_status mox_file_describe(const mox_file* file, mox_file_info* info, mox_error* error) {
  return moxie::api::guard(error, [&] {
    moxie::api::require_not_null(file, "file");
    mox_file_info result{};
    result.kind = file->kind;
    moxie::api::copy_text(result.family, sizeof(result.family), file->inspection.family);
    moxie::api::copy_text(result.format, sizeof(result.format), file->inspection.format);
    for (const TensorEntry& entry : entries_of(*file)) {
      ++result.tensors;
      result.parameters += entry.elements();
      result.bytes += entry.bytes;
    }
    result.problems = static_cast<int64_t>(file->inspection.problems.size());
    moxie::api::write_struct(info, result, "mox_file_info");
  });
}

mox_status mox_file_problem(const mox_file* file, int64_t problem, const char** text, mox_error* error) {
  return moxie::api::guard(error, [&] {
    moxie::api::require_not_null(file, "file");
    moxie::api::require_not_null(text, "text");
    const auto& problems = file->inspection.problems;
    *text = problems[require_index(problem, problems.size(), "problem")].c_str();
  });
}

mox_status mox_file_setting(const mox_file* file, int64_t index, const char** name, const char** value,
                            mox_error* error) {
  return moxie::api::guard(error, [&] {
    moxie::api::require_not_null(file, "file");
    moxie::api::require_not_null(name, "name");
    moxie::api::require_not_null(value, "value");
    const auto& settings = file->inspection.settings;
    const auto& setting = settings[require_index(index, settings.size(), "setting")];
    *name = setting.first.c_str();
    *value = setting.second.c_str();
  });
}

mox_status mox_file_tensor(const mox_file* file, int64_t index, mox_tensor_info* info, mox_error* error) {
  return moxie::api::guard(error, [&] {
    moxie::api::require_not_null(file, "file");
    const auto& entries = entries_of(*file);
    const TensorEntry& entry = entries[require_index(index, entries.size(), "tensor")];
    mox_tensor_info result{};
    result.name = entry.name.c_str();
    result.file = entry.file.c_str();
    result.dtype = entry.dtype;
    result.dimensions = static_cast<int32_t>(entry.shape.size());
    std::copy(entry.shape.begin(), entry.shape.end(), result.shape);
    result.bytes = entry.bytes;
    moxie::api::write_struct(info, result, "mox_tensor_info");
  });
}

mox_status mox_file_find_tensor(const mox_file* file, const char* name, int64_t* index, mox_error* error) {
  return moxie::api::guard(error, [&] {
    moxie::api::require_not_null(file, "file");
    moxie::api::require_not_null(name, "name");
    moxie::api::require_not_null(index, "index");
    const auto* tensors = file->inspection.tensors.get();
    const int64_t found = tensors == nullptr ? -1 : tensors->find(name);
    if (found < 0) throw moxie::not_found("no tensor " + moxie::checkpoint::quote(name));
    *index = found;
  });
}

mox_status mox_file_read_tensor(const mox_file* file, int64_t index, void* destination, size_t size, mox_error* error) {
  return moxie::api::guard(error, [&] {
    moxie::api::require_not_null(file, "file");
    const auto& entries = entries_of(*file);
    const size_t entry = require_index(index, entries.size(), "tensor");
    const auto bytes = static_cast<size_t>(entries[entry].bytes);
    if (size != bytes) {
      throw moxie::invalid_argument("size is " + std::to_string(size) + "; tensor " +
                                    moxie::checkpoint::quote(entries[entry].name) + " has " + std::to_string(bytes) +
                                    " bytes");
    }
    if (bytes == 0) return;
    moxie::api::require_not_null(destination, "destination");
    // Through memory of our own: a file that fails half way must leave the caller's untouched.
    std::vector<unsigned char> copy(bytes);
    file->inspection.tensors->read(entry, 0, entries[entry].elements(), copy.data());
    std::memcpy(destination, copy.data(), bytes);
  });
}
