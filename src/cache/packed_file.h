// The file that keeps packed weights: see docs/formats.md for its bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/file_access.h"
#include "checkpoint/inspect.h"
#include "kernels/packed_matrix.h"
#include "runtime/dtype.h"

namespace moxie::cache {

constexpr int packed_format_version = 2;
constexpr int64_t checksum_block = int64_t{1} << 20;  // bytes of data under one checksum

struct PackedSection {
  std::string name;  // of the tensor it was packed from
  DType dtype = MOX_F32;
  int64_t n = 0, k = 0;
  int64_t offset = 0;  // in the data
  int64_t bytes = 0;
  kernels::Storage storage = kernels::Storage::kPlain;

  bool operator==(const PackedSection&) const = default;
};

// What the beginning of a file says.
struct PackedHeader {
  std::string fingerprint;                          // of what it was made from: 32 hexadecimal digits
  std::string made_from;                            // the checkpoint's folder; for people only
  std::string holds;                                // "model", "block 3", ...
  kernels::Storage aim = kernels::Storage::kPlain;  // compact: wherever the weights allow it
  std::vector<PackedSection> sections;
  std::vector<uint64_t> checksums;  // XXH3, one for each block of the data
  int64_t data_offset = 0;          // in the file, a multiple of 2 MiB
  int64_t data_bytes = 0;
};

// An open file whose header is sound. Immutable.
class PackedFile {
 public:
  // MOX_NOT_FOUND where there is none; MOX_INVALID_FILE naming what is wrong: size, versions, checksum of the header.
  explicit PackedFile(const std::string& path);

  [[nodiscard]] const PackedHeader& header() const { return header_; }
  [[nodiscard]] const std::string& path() const { return file_.path(); }

  // All data, in memory on huge pages or as a mapping of the file that processes share. Every block is held against
  // its checksum; MOX_INVALID_FILE naming the section where one differs.
  [[nodiscard]] std::shared_ptr<const std::byte> read(int threads) const;
  [[nodiscard]] std::shared_ptr<const std::byte> map(int threads) const;
  // The mapping without looking at the data: for whoever wrote it just now.
  [[nodiscard]] std::shared_ptr<const std::byte> map_unchecked() const;

  // Part of the data as it lies.
  void read_data(int64_t offset, int64_t count, void* destination) const;

 private:
  void check_block(int64_t block, const std::byte* data) const;
  void ask_ahead(int64_t block) const;

  checkpoint::File file_;
  PackedHeader header_;
};

// Writes header and data to an open, empty file, on several threads; fills in checksums and the data's place. MOX_IO
// where the system refuses.
void write_packed_file(int descriptor, const std::string& path, PackedHeader header, const std::byte* data,
                       int threads);

// Whether the file begins as packed ones do. False where it cannot be read.
bool is_packed_file(const std::string& path);

// For `moxie info`: the sections as tensors. Looks at the header only. Errors as PackedFile.
checkpoint::Inspection inspect_packed_file(const std::string& path);

}  // namespace moxie::cache
