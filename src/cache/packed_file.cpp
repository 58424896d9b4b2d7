#include "cache/packed_file.h"

#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "checkpoint/json.h"
#include "checkpoint/text.h"
#include "kernels/packed_matrix.h"
#include "runtime/build_info.h"
#include "runtime/error.h"
#include "runtime/huge_memory.h"
#include "runtime/parallel.h"

namespace moxie::cache {
namespace {

using checkpoint::Fields;
using checkpoint::Json;
using kernels::Storage;

const char* storage_name(Storage storage) { return storage == Storage::kCompact ? "compact" : "plain"; }

constexpr std::array<char, 8> magic = {'M', 'O', 'X', 'I', 'E', 'P', 'K', '\n'};
constexpr int64_t largest_table = int64_t{256} << 20;
// Enough for a fast disk to be busy; the whole of a large file at once would push itself out of memory again.
constexpr int64_t blocks_ahead = 16;
constexpr int64_t data_alignment = static_cast<int64_t>(huge_page);

// The first bytes of the file; little-endian, as all x86.
struct Preamble {
  std::array<char, 8> magic;
  uint32_t format_version;
  uint32_t layout_version;
  uint64_t table_bytes;
  uint64_t data_offset;
  uint64_t data_bytes;
  uint64_t reserved;
  uint64_t table_checksum;  // of table and checksums
  uint64_t own_checksum;    // of what stands before it
};
static_assert(sizeof(Preamble) == 64);

int64_t up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
int64_t blocks_of(int64_t bytes) { return (bytes + checksum_block - 1) / checksum_block; }

Json table_of(const PackedHeader& header) {
  Json table{{"moxie", MOXIE_VERSION}, {"fingerprint", header.fingerprint}, {"made_from", header.made_from},
             {"holds", header.holds},  {"aim", storage_name(header.aim)},   {"sections", Json::array()}};
  for (const PackedSection& section : header.sections) {
    table["sections"].push_back({{"name", section.name},
                                 {"dtype", dtype_name(section.dtype)},
                                 {"shape", {section.n, section.k}},
                                 {"storage", storage_name(section.storage)},
                                 {"offset", section.offset}});
  }
  return table;
}

Storage read_storage(const Fields& fields, const char* name) {
  const std::string text = fields.string(name).value_or("");
  for (const Storage storage : {Storage::kPlain, Storage::kCompact}) {
    if (text == storage_name(storage)) return storage;
  }
  fields.refuse(name, "plain or compact");
}

PackedSection read_section(const Json& value, const std::string& place) {
  if (!value.is_object()) throw invalid_file(place + " is " + checkpoint::show(value) + "; expected an object");
  const Fields fields(value, place);
  PackedSection section;
  section.name = fields.string("name").value_or("");
  if (!checkpoint::is_tensor_name(section.name)) fields.refuse("name", "a tensor's name");
  const std::string dtype = fields.string("dtype").value_or("");
  if (dtype != dtype_name(MOX_F32) && dtype != dtype_name(MOX_BF16)) fields.refuse("dtype", "float32 or bfloat16");
  section.dtype = dtype == dtype_name(MOX_F32) ? MOX_F32 : MOX_BF16;
  const Json* shape = fields.array("shape");
  if (shape == nullptr || shape->size() != 2 || checkpoint::as_integer((*shape)[0]).value_or(-1) < 0 ||
      checkpoint::as_integer((*shape)[1]).value_or(-1) < 0) {
    fields.refuse("shape", "[rows, columns]");
  }
  section.n = *checkpoint::as_integer((*shape)[0]);
  section.k = *checkpoint::as_integer((*shape)[1]);
  section.storage = read_storage(fields, "storage");
  if (section.storage == Storage::kCompact && section.dtype != MOX_BF16) fields.refuse("storage", "plain for float32");
  section.offset = fields.require_integer("offset", 0, INT64_MAX);
  section.bytes = static_cast<int64_t>(kernels::packed_bytes(section.dtype, section.n, section.k, section.storage));
  return section;
}

void read_table(const std::string& text, const std::string& path, PackedHeader* header) {
  const Json table = checkpoint::parse_json(text, path + ": table");
  if (!table.is_object()) throw invalid_file(path + ": table is " + checkpoint::show(table) + "; expected an object");
  const Fields fields(table, path + ": table");
  header->fingerprint = fields.string("fingerprint").value_or("");
  header->made_from = fields.string("made_from").value_or("");
  header->holds = fields.string("holds").value_or("");
  header->aim = read_storage(fields, "aim");
  const Json* sections = fields.array("sections");
  if (sections == nullptr) fields.refuse("sections", "an array");
  int64_t end = 0;
  for (const Json& value : *sections) {
    const std::string place = path + ": section " + std::to_string(header->sections.size());
    PackedSection section = read_section(value, place);
    if (section.offset < end || section.offset % 64 != 0 || section.offset > header->data_bytes ||
        section.bytes > header->data_bytes - section.offset) {
      throw invalid_file(place + " (" + section.name + ") lies at " + std::to_string(section.offset) + " with " +
                         std::to_string(section.bytes) + " bytes; expected a place from " + std::to_string(end) +
                         " on within the " + std::to_string(header->data_bytes) + " bytes of data");
    }
    end = section.offset + section.bytes;
    header->sections.push_back(std::move(section));
  }
}

PackedHeader read_header(const checkpoint::File& file) {
  const std::string& path = file.path();
  Preamble preamble{};
  if (file.size() < static_cast<int64_t>(sizeof preamble)) {
    throw invalid_file(path + ": has " + std::to_string(file.size()) + " bytes; expected a packed cache of at least " +
                       std::to_string(sizeof preamble));
  }
  file.read(0, sizeof preamble, &preamble);
  if (preamble.magic != magic) throw invalid_file(path + ": is not a packed cache");
  if (XXH3_64bits(&preamble, offsetof(Preamble, own_checksum)) != preamble.own_checksum) {
    throw invalid_file(path + ": is damaged: the checksum of its first 64 bytes differs");
  }
  if (preamble.format_version != packed_format_version || preamble.layout_version != kernels::packed_layout_version) {
    throw invalid_file(path + ": has format " + std::to_string(preamble.format_version) + " and layout " +
                       std::to_string(preamble.layout_version) + "; expected " + std::to_string(packed_format_version) +
                       " and " + std::to_string(kernels::packed_layout_version));
  }
  // Each alone first, so that no sum overflows.
  const auto size = static_cast<uint64_t>(file.size());
  if (preamble.data_offset > size || preamble.data_bytes != size - preamble.data_offset ||
      preamble.data_offset % data_alignment != 0 || preamble.table_bytes > static_cast<uint64_t>(largest_table)) {
    throw invalid_file(path + ": has " + std::to_string(size) + " bytes; its header speaks of " +
                       std::to_string(preamble.data_bytes) + " bytes of data from " +
                       std::to_string(preamble.data_offset) + " on");
  }
  PackedHeader header;
  header.data_offset = static_cast<int64_t>(preamble.data_offset);
  header.data_bytes = static_cast<int64_t>(preamble.data_bytes);
  const auto table_bytes = static_cast<int64_t>(preamble.table_bytes);
  const int64_t checksum_bytes = blocks_of(header.data_bytes) * static_cast<int64_t>(sizeof(uint64_t));
  if (static_cast<int64_t>(sizeof preamble) + table_bytes + checksum_bytes > header.data_offset) {
    throw invalid_file(path + ": its table of " + std::to_string(table_bytes) + " bytes runs into the data");
  }
  std::string text(static_cast<size_t>(table_bytes + checksum_bytes), '\0');
  file.read(sizeof preamble, table_bytes + checksum_bytes, text.data());
  if (XXH3_64bits(text.data(), text.size()) != preamble.table_checksum) {
    throw invalid_file(path + ": is damaged: the checksum of its table differs");
  }
  header.checksums.resize(static_cast<size_t>(blocks_of(header.data_bytes)));
  std::memcpy(header.checksums.data(), text.data() + table_bytes, static_cast<size_t>(checksum_bytes));
  text.resize(static_cast<size_t>(table_bytes));
  read_table(text, path, &header);
  return header;
}

void write_all(int descriptor, const std::string& path, const void* data, int64_t count, int64_t offset) {
  const auto* next = static_cast<const char*>(data);
  while (count > 0) {
    const ssize_t put = ::pwrite(descriptor, next, static_cast<size_t>(count), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      throw Error(MOX_IO, path + ": cannot be written: " + std::generic_category().message(put < 0 ? errno : ENOSPC));
    }
    next += put;
    offset += put;
    count -= put;
  }
}

// The sections as tensors, unpacked as they are asked for.
class PackedTensors : public checkpoint::TensorSource {
 public:
  explicit PackedTensors(const std::string& path) : file_(path) {
    for (const PackedSection& section : file_.header().sections) places_.push_back(section);
    std::sort(places_.begin(), places_.end(),
              [](const PackedSection& a, const PackedSection& b) { return a.name < b.name; });
    for (const PackedSection& section : places_) {
      checkpoint::TensorEntry entry;
      entry.name = section.name;
      entry.file = path.substr(path.find_last_of('/') + 1);
      entry.dtype = section.dtype;
      entry.shape = {section.n, section.k};
      entry.bytes = section.n * section.k * static_cast<int64_t>(element_size(section.dtype));
      entries_.push_back(std::move(entry));
    }
  }

  [[nodiscard]] const PackedHeader& header() const { return file_.header(); }
  [[nodiscard]] const std::vector<checkpoint::TensorEntry>& entries() const override { return entries_; }
  [[nodiscard]] const std::string& path() const override { return file_.path(); }
  [[nodiscard]] std::vector<checkpoint::SourceFile> files() const override { return {}; }

  void read(size_t entry, int64_t first, int64_t count, void* destination) const override {
    const PackedSection& section = places_.at(entry);
    if (first < 0 || count < 0 || first > entries_[entry].elements() - count) {
      throw Error(MOX_INTERNAL, path() + ": elements " + std::to_string(first) + " + " + std::to_string(count) +
                                    " of " + std::to_string(entries_[entry].elements()));
    }
    const int64_t panels = std::max<int64_t>((section.n + kernels::panel_width - 1) / kernels::panel_width, 1);
    const int64_t panel_bytes = section.bytes / panels;
    const std::shared_ptr<std::byte> memory = huge_memory(static_cast<size_t>(panel_bytes));
    const kernels::PackedMatrix panel(section.dtype, kernels::panel_width, section.k, section.storage, memory);
    std::vector<float> row(static_cast<size_t>(section.k));
    auto* out = static_cast<std::byte*>(destination);
    int64_t held_panel = -1, held_row = -1;
    for (int64_t element = first; element < first + count; ++element) {
      const int64_t wanted = element / section.k;
      if (wanted != held_row) {
        held_row = wanted;
        if (wanted / kernels::panel_width != held_panel) {
          held_panel = wanted / kernels::panel_width;
          file_.read_data(section.offset + held_panel * panel_bytes, panel_bytes, memory.get());
        }
        panel.read_row(wanted % kernels::panel_width, row.data());
      }
      const float value = row[static_cast<size_t>(element % section.k)];
      const auto bits = std::bit_cast<uint32_t>(value);
      const auto upper = static_cast<bfloat16>(bits >> 16);
      const size_t size = element_size(section.dtype);
      std::memcpy(out, section.dtype == MOX_F32 ? static_cast<const void*>(&bits) : &upper, size);
      out += size;
    }
  }

 private:
  PackedFile file_;
  std::vector<PackedSection> places_;
  std::vector<checkpoint::TensorEntry> entries_;
};

}  // namespace

PackedFile::PackedFile(const std::string& path) : file_(path), header_(read_header(file_)) {}

void PackedFile::check_block(int64_t block, const std::byte* data) const {
  const int64_t begin = block * checksum_block;
  const int64_t count = std::min(checksum_block, header_.data_bytes - begin);
  if (XXH3_64bits(data, static_cast<size_t>(count)) == header_.checksums[static_cast<size_t>(block)]) return;
  std::string whose;
  for (const PackedSection& section : header_.sections) {
    if (section.offset >= begin + count || section.offset + section.bytes <= begin) continue;
    if (!whose.empty()) {
      whose += " and what follows it";
      break;
    }
    whose = ", tensor " + checkpoint::quote(section.name);
  }
  throw invalid_file(path() + ": is damaged: the checksum of " + std::to_string(count) + " bytes from " +
                     std::to_string(header_.data_offset + begin) + " on differs" + whose);
}

void PackedFile::ask_ahead(int64_t block) const {
  file_.expect_read(header_.data_offset + (block + blocks_ahead) * checksum_block, checksum_block);
}

std::shared_ptr<const std::byte> PackedFile::read(int threads) const {
  const std::shared_ptr<std::byte> memory = huge_memory(static_cast<size_t>(header_.data_bytes));
  parallel_for(threads, blocks_of(header_.data_bytes), [&](int64_t block) {
    const int64_t begin = block * checksum_block;
    ask_ahead(block);
    read_data(begin, std::min(checksum_block, header_.data_bytes - begin), memory.get() + begin);
    check_block(block, memory.get() + begin);
  });
  return memory;
}

std::shared_ptr<const std::byte> PackedFile::map(int threads) const {
  std::shared_ptr<const std::byte> memory = map_unchecked();
  parallel_for(threads, blocks_of(header_.data_bytes), [&](int64_t block) {
    ask_ahead(block);
    check_block(block, memory.get() + block * checksum_block);
  });
  return memory;
}

std::shared_ptr<const std::byte> PackedFile::map_unchecked() const {
  return file_.map_shared(header_.data_offset, header_.data_bytes);
}

void PackedFile::read_data(int64_t offset, int64_t count, void* destination) const {
  file_.read(header_.data_offset + offset, count, destination);
}

void write_packed_file(int descriptor, const std::string& path, PackedHeader header, const std::byte* data,
                       int threads) {
  header.checksums.assign(static_cast<size_t>(blocks_of(header.data_bytes)), 0);
  std::string table = table_of(header).dump(-1, ' ', false, Json::error_handler_t::replace);
  // Checksums stand at a multiple of eight; JSON does not mind spaces.
  table.resize(static_cast<size_t>(up(static_cast<int64_t>(table.size()), 8)), ' ');
  const auto checksum_bytes = header.checksums.size() * sizeof(uint64_t);
  Preamble preamble{};
  preamble.magic = magic;
  preamble.format_version = packed_format_version;
  preamble.layout_version = kernels::packed_layout_version;
  preamble.table_bytes = table.size();
  preamble.data_offset =
      static_cast<uint64_t>(up(static_cast<int64_t>(sizeof preamble + table.size() + checksum_bytes), data_alignment));
  preamble.data_bytes = static_cast<uint64_t>(header.data_bytes);
  const auto data_offset = static_cast<int64_t>(preamble.data_offset);
  parallel_for(threads, blocks_of(header.data_bytes), [&](int64_t block) {
    const int64_t begin = block * checksum_block;
    const int64_t count = std::min(checksum_block, header.data_bytes - begin);
    header.checksums[static_cast<size_t>(block)] = XXH3_64bits(data + begin, static_cast<size_t>(count));
    write_all(descriptor, path, data + begin, count, data_offset + begin);
  });
  table.append(reinterpret_cast<const char*>(header.checksums.data()), checksum_bytes);
  preamble.table_checksum = XXH3_64bits(table.data(), table.size());
  preamble.own_checksum = XXH3_64bits(&preamble, offsetof(Preamble, own_checksum));
  write_all(descriptor, path, table.data(), static_cast<int64_t>(table.size()), sizeof preamble);
  write_all(descriptor, path, &preamble, sizeof preamble, 0);
}

bool is_packed_file(const std::string& path) {
  try {
    const checkpoint::File file(path);
    std::array<char, magic.size()> begin{};
    if (file.size() < static_cast<int64_t>(begin.size())) return false;
    file.read(0, static_cast<int64_t>(begin.size()), begin.data());
    return begin == magic;
  } catch (const Error&) {
    return false;
  }
}

checkpoint::Inspection inspect_packed_file(const std::string& path) {
  checkpoint::Inspection result;
  auto tensors = std::make_unique<PackedTensors>(path);
  result.format = "packed cache";
  result.settings = {{"holds", tensors->header().holds},
                     {"made from", tensors->header().made_from},
                     {"fingerprint", tensors->header().fingerprint},
                     {"dtypes", checkpoint::dtype_counts(*tensors)}};
  result.tensors = std::move(tensors);
  return result;
}

}  // namespace moxie::cache
