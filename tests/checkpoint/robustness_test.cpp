// Damaged files: every one either reads or is refused. Crashes and sanitizer reports are what this looks for.
#include <numeric>

#include "checkpoint/json.h"
#include "checkpoint/pickle.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/support.h"
#include "checkpoint/torch_archive.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

namespace pickle = test::pickle;

const std::string header = R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                           R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})";

std::string small_safetensors() { return test::safetensors(header, std::string(32, '\x11')); }

std::string valid_pickle() {
  const std::string view = pickle::tensor(pickle::storage("0", 6), 0, {3, 2}, {1, 3});
  const std::string parameter = pickle::call(pickle::global("torch._utils", "_rebuild_parameter"),
                                             pickle::tuple({view, pickle::no, pickle::hooks()}));
  return pickle::begin + pickle::dict({{"p", parameter}, {"t", view}}) + pickle::end;
}

void read_all(const TensorSource& source) {
  for (size_t entry = 0; entry < source.entries().size(); ++entry) {
    const int64_t bytes = source.entries()[entry].bytes;
    ASSERT_LE(bytes, 1 << 20);
    std::vector<unsigned char> values(static_cast<size_t>(bytes));
    source.read(entry, 0, source.entries()[entry].elements(), values.data());
  }
}

struct Counts {
  int read = 0, refused = 0;
};

// Changes of one byte: all of them where nothing touches the disk, a choice where every attempt writes a file.
std::vector<int> every_change() {
  std::vector<int> masks(255);
  std::iota(masks.begin(), masks.end(), 1);
  return masks;
}
const std::vector<int> few_changes = {0x01, 0x10, 0x80, 0xff};

// Every prefix, and every byte changed by each of the masks.
template <typename Read>
Counts damage(const std::string& good, const std::vector<int>& masks, Read&& read) {
  Counts counts;
  const auto attempt = [&](const std::string& bytes) {
    try {
      read(bytes);
      ++counts.read;
    } catch (const Error& error) {
      EXPECT_NE(error.status(), MOX_INTERNAL) << error.what();
      ++counts.refused;
    }
  };
  attempt(good);
  EXPECT_EQ(counts.read, 1) << "the file to be damaged is not accepted";
  for (size_t length = 0; length < good.size(); ++length) attempt(good.substr(0, length));
  EXPECT_EQ(counts.refused, static_cast<int>(good.size())) << "a file that was cut off is accepted";
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    for (const int mask : masks) {
      bad[at] = static_cast<char>(good[at] ^ mask);
      attempt(bad);
    }
  }
  return counts;
}

TEST(Robustness, Safetensors) {
  const test::TemporaryFolder folder;
  for (const bool map : {false, true}) {
    const Counts counts = damage(small_safetensors(), few_changes, [&](const std::string& bytes) {
      read_all(*open_safetensors(folder.write("t.safetensors", bytes), map));
    });
    // The 32 bytes of data have no checksum.
    EXPECT_GT(counts.read, 32 * 4);
  }
}

TEST(Robustness, TorchArchives) {
  const test::TemporaryFolder folder;
  write_archive(folder, {valid_pickle(), {{"0", std::string(24, '\x11')}}}, "good.bin");
  const Counts counts = damage(test::read_file(folder.file("good.bin")), few_changes, [&](const std::string& bytes) {
    read_all(*open_torch_archive(folder.write("t.bin", bytes)));
  });
  // Every byte of the pickle and the storage is under a checksum.
  EXPECT_GT(counts.refused, static_cast<int>(4 * (valid_pickle().size() + 24)));
}

// Without the archive's checksum in the way.
TEST(Robustness, Pickles) {
  const Counts counts = damage(valid_pickle(), every_change(),
                               [](const std::string& bytes) { (void)unpickle_tensors(bytes, "t.bin: data.pkl"); });
  EXPECT_GT(counts.read, 0);
}

TEST(Robustness, Json) {
  const std::string good = R"({"a": [1, -2.5e3, "\u00e4\n", null], "b": {"c": true, "d": {}}})";
  const Counts counts = damage(good, every_change(), [](const std::string& bytes) { (void)parse_json(bytes, "f"); });
  EXPECT_GT(counts.read, 0);
}

}  // namespace
}  // namespace moxie::checkpoint
