// The file by itself: several blocks of data, and headers that lie with sound checksums.
#include "cache/packed_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>
#include <xxhash.h>

#include <cstring>

#include "checkpoint/support.h"
#include "kernels/packed_matrix.h"

namespace moxie::test {
namespace {

using cache::PackedFile;
using cache::PackedHeader;

constexpr int64_t data_bytes = (int64_t{3} << 20) + 8192;

PackedHeader header_of() {
  PackedHeader header;
  header.fingerprint = std::string(32, 'a');
  header.made_from = "folder";
  header.holds = "model";
  header.data_bytes = data_bytes;
  int64_t offset = 0;
  for (const int64_t n : {384, 1, 384}) {  // 384 x 1024 float32 is one block and a half
    const auto bytes = static_cast<int64_t>(kernels::packed_bytes(MOX_F32, n, n == 1 ? 64 : 1024));
    header.sections.push_back(
        {"tensor " + std::to_string(header.sections.size()), MOX_F32, n, n == 1 ? 64 : 1024, offset, bytes});
    offset += bytes;
  }
  EXPECT_EQ(offset, data_bytes);
  return header;
}

std::string data_of() {
  std::string data(data_bytes, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 >> 3);
  return data;
}

std::string write(const TemporaryFolder& folder, const PackedHeader& header) {
  const std::string path = folder.file("packed"), data = data_of();
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
  write_packed_file(descriptor, path, header, reinterpret_cast<const std::byte*>(data.data()), 2);
  close(descriptor);
  return path;
}

TEST(PackedFileTest, ComesBack) {
  const TemporaryFolder folder;
  const std::string path = write(folder, header_of());
  const PackedFile file(path);
  EXPECT_EQ(file.header().sections, header_of().sections);
  EXPECT_EQ(file.header().fingerprint, header_of().fingerprint);
  EXPECT_EQ(file.header().checksums.size(), 4U);
  EXPECT_EQ(file.header().data_offset % (int64_t{2} << 20), 0);
  const std::string data = data_of();
  for (const int threads : {1, 3}) {
    EXPECT_EQ(std::memcmp(file.read(threads).get(), data.data(), data.size()), 0);
    EXPECT_EQ(std::memcmp(file.map(threads).get(), data.data(), data.size()), 0);
  }
  EXPECT_TRUE(cache::is_packed_file(path));
  EXPECT_FALSE(cache::is_packed_file(folder.write("other", "MOXIEPK")));
  EXPECT_FALSE(cache::is_packed_file(folder.file("none")));
}

TEST(PackedFileTest, AMappingOutlivesFileAndName) {
  const TemporaryFolder folder;
  const std::string path = write(folder, header_of());
  const auto mapped = PackedFile(path).map(1);
  unlink(path.c_str());
  const std::string data = data_of();
  EXPECT_EQ(std::memcmp(mapped.get(), data.data(), data.size()), 0);
}

TEST(PackedFileTest, EveryBlockIsChecked) {
  const TemporaryFolder folder;
  const std::string whole = read_file(write(folder, header_of()));
  const auto begin = whole.size() - static_cast<size_t>(data_bytes);
  for (const size_t at : {size_t{0}, size_t{1} << 20, (size_t{3} << 20) - 1, static_cast<size_t>(data_bytes) - 1}) {
    std::string damaged = whole;
    damaged[begin + at] ^= 1;
    const PackedFile file(folder.write("damaged", damaged));
    expect_refusal(MOX_INVALID_FILE, {"is damaged", "tensor"}, [&] { (void)file.read(2); });
    expect_refusal(MOX_INVALID_FILE, {"is damaged", "tensor"}, [&] { (void)file.map(2); });
  }
}

// Gives the header checksums that agree with it again.
std::string sealed(std::string bytes) {
  uint64_t table_bytes = 0, all_data = 0;
  std::memcpy(&table_bytes, &bytes[16], 8);
  std::memcpy(&all_data, &bytes[32], 8);
  const uint64_t checked = table_bytes + (all_data + (1 << 20) - 1) / (1 << 20) * 8;
  if (checked < bytes.size() - 64) {
    const uint64_t table = XXH3_64bits(&bytes[64], checked);
    std::memcpy(&bytes[48], &table, 8);
  }
  const uint64_t own = XXH3_64bits(bytes.data(), 56);
  std::memcpy(&bytes[56], &own, 8);
  return bytes;
}

TEST(PackedFileTest, RefusesHeadersThatLie) {
  const TemporaryFolder folder;
  const std::string whole = read_file(write(folder, header_of()));
  const auto refuse = [&](const std::vector<std::string>& parts, const std::string& bytes) {
    const std::string path = folder.write("lying", bytes);
    expect_refusal(MOX_INVALID_FILE, parts, [&] { const PackedFile file(path); });
  };
  const auto with = [&](size_t at, uint64_t value, size_t size) {
    std::string bytes = whole;
    std::memcpy(&bytes[at], &value, size);
    return sealed(bytes);
  };
  EXPECT_EQ(sealed(whole), whole);
  refuse({"not a packed cache"}, with(0, 0, 8));
  refuse({"format 1 and layout 2"}, with(8, 1, 4));
  refuse({"format 2 and layout 9"}, with(12, 9, 4));
  refuse({"bytes of data from"}, with(16, uint64_t{1} << 60, 8));
  refuse({"runs into the data"}, with(16, uint64_t{2} << 20, 8));
  refuse({"bytes of data from"}, with(24, uint64_t{1} << 62, 8));
  refuse({"bytes of data from"}, with(24, 0, 8));
  refuse({"bytes of data from"}, with(32, static_cast<uint64_t>(data_bytes) - 1, 8));
  refuse({"bytes of data from"}, with(32, ~uint64_t{0}, 8));
  refuse({"3145728 bytes"}, whole.substr(0, 3145728));
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string bytes = whole;
    const size_t at = bytes.find(from);
    EXPECT_LT(at, size_t{2} << 20) << from;
    EXPECT_EQ(from.size(), to.size());
    bytes.replace(at, from.size(), to);
    return sealed(bytes);
  };
  refuse({"section 1", "offset"}, replaced("\"offset\":1572864", "\"offset\":\"57286\""));
  refuse({"section 1 (tensor 1)", "1572800"}, replaced("\"offset\":1572864", "\"offset\":1572800"));
  refuse({"section 1 (tensor 1)", "9572864"}, replaced("\"offset\":1572864", "\"offset\":9572864"));
  refuse({"dtype"}, replaced("\"float32\"", "\"float16\""));
  refuse({"storage", "plain or compact"}, replaced("\"storage\":\"plain\"", "\"storage\":\"plaid\""));
  refuse({"aim", "plain or compact"}, replaced("\"aim\":\"plain\"", "\"aim\":\"plaid\""));
  refuse({"shape"}, replaced("[384,1024]", "[-84,1024]"));
  refuse({"section 2"}, replaced("\"shape\":[1,64]", "\"shape\":[9,96]"));
  refuse({"table"}, replaced("{\"moxie\"", "[\"moxie\""));
}

}  // namespace
}  // namespace moxie::test
