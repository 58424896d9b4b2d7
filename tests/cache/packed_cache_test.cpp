// Models opened with a packed cache: the same bits as without, whatever happened to the file.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cache/opened.h"
#include "cache/packed_file.h"
#include "checkpoint/checkpoints.h"
#include "checkpoint/support.h"

namespace moxie::test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class PackedCacheTest : public testing::Test {
 protected:
  // A copy of a base that may be changed.
  std::string base(const std::string& name) const {
    const std::string copy = folder_.file(name);
    if (!fs::exists(copy)) {
      fs::copy(std::string(MOXIE_TEST_DATA "/parity/bases/") + name, copy);
      for (const auto& entry : fs::directory_iterator(copy)) {
        fs::permissions(entry.path(), fs::perms::owner_read | fs::perms::owner_write, fs::perm_options::add);
      }
    }
    return copy;
  }

  [[nodiscard]] CacheOptions cached(bool map = false) const {
    return {MOX_PACKED_CACHE_READ_WRITE, map, folder_.file("cache")};
  }

  TemporaryFolder folder_;
};

// Changes a byte where it stands.
void flip(const std::string& path, int64_t offset) {
  std::string bytes = read_file(path);
  bytes.at(static_cast<size_t>(offset)) ^= 0x10;
  const int file = open(path.c_str(), O_WRONLY);
  ASSERT_EQ(pwrite(file, &bytes[static_cast<size_t>(offset)], 1, offset), 1);
  close(file);
}

TEST_F(PackedCacheTest, TheSameBitsWithAndWithout) {
  for (const char* name : {"llama-h48-float32", "llama-h48-bfloat16", "llama-f16", "mixtral-bf16", "llama-tied-sharded",
                           "consolidated-mixtral"}) {
    SCOPED_TRACE(name);
    const std::string model = base(name);
    const auto plain = open_and_run(model, {});
    EXPECT_THAT(plain.log, Not(Contains(HasSubstr("packed cache"))));
    for (const bool map : {false, true}) {
      fs::remove(cached().path);
      const auto written = open_and_run(model, cached(map));
      EXPECT_THAT(written.log, ElementsAre(HasSubstr("no such file"), HasSubstr(": wrote ")));
      const auto used = open_and_run(model, cached(map), 1);
      EXPECT_THAT(used.log, ElementsAre(HasSubstr(map ? ": mapped " : ": read ")));
      EXPECT_THAT(written.warnings, IsEmpty());
      EXPECT_EQ(written.logits, plain.logits);
      EXPECT_EQ(used.logits, plain.logits);
      EXPECT_EQ(used.weight_bytes, plain.weight_bytes);
    }
  }
}

TEST_F(PackedCacheTest, DamageAnywhereIsFoundAndMended) {
  const std::string model = base("llama-h48-bfloat16");
  const auto plain = open_and_run(model, {});
  open_and_run(model, cached());
  const std::string path = cached().path;
  const cache::PackedHeader header = cache::PackedFile(path).header();
  std::vector<int64_t> places{8, 12, 16, 24, 32, 40, 48, 56};  // behind the magic number, the first 64 bytes
  places.push_back(70);                                        // table
  ASSERT_EQ(header.sections.size(), 15U);                      // 2 layers of 7 linears, and the head
  for (const cache::PackedSection& section : header.sections) {
    places.push_back(header.data_offset + section.offset);
    places.push_back(header.data_offset + section.offset + section.bytes - 1);
  }
  for (const bool map : {false, true}) {
    for (const int64_t place : places) {
      SCOPED_TRACE(place);
      flip(path, place);
      const auto opened = open_and_run(model, cached(map));
      EXPECT_THAT(opened.log, ElementsAre(HasSubstr("packed cache not used: " + path), HasSubstr(": wrote ")));
      EXPECT_EQ(opened.logits, plain.logits);
      if (place >= header.data_offset) {
        EXPECT_THAT(opened.warnings, ElementsAre(HasSubstr("is damaged")));
      }
    }
    EXPECT_THAT(open_and_run(model, cached(map)).log, ElementsAre(HasSubstr(map ? ": mapped " : ": read ")));
  }
}

TEST_F(PackedCacheTest, TheTensorOfADamagedBlockIsNamed) {
  const std::string model = base("llama-h48-bfloat16");
  open_and_run(model, cached());
  const cache::PackedHeader header = cache::PackedFile(cached().path).header();
  flip(cached().path, header.data_offset);
  EXPECT_THAT(open_and_run(model, cached()).warnings, ElementsAre(HasSubstr(header.sections.front().name)));
}

TEST_F(PackedCacheTest, TruncationIsFound) {
  const std::string model = base("llama-h48-float32");
  const auto plain = open_and_run(model, {});
  open_and_run(model, cached());
  const std::string path = cached().path;
  const auto whole = static_cast<int64_t>(fs::file_size(path));
  for (const int64_t size :
       {int64_t{0}, int64_t{7}, int64_t{8}, int64_t{63}, int64_t{64}, int64_t{1000}, whole / 2, whole - 1}) {
    for (const bool map : {false, true}) {
      SCOPED_TRACE(size);
      ASSERT_EQ(truncate(path.c_str(), size), 0);
      const auto opened = open_and_run(model, cached(map));
      EXPECT_THAT(opened.log, Contains(HasSubstr("packed cache not used")));
      EXPECT_EQ(opened.logits, plain.logits);
      if (size > 0 && size < 8) {
        EXPECT_THAT(opened.log, Contains(HasSubstr("left alone")));  // nothing says that it was ours
        fs::remove(path);
        open_and_run(model, cached());
      }
      EXPECT_THAT(open_and_run(model, cached(map)).warnings, IsEmpty());
    }
  }
}

// The checkpoint is another, as large as before: with another time of change, and with the time set back.
TEST_F(PackedCacheTest, AChangedCheckpointIsNotConfused) {
  for (const char* name : {"llama-h48-float32", "llama-tied-sharded"}) {
    const std::string model = base(name);
    std::string file;
    for (const auto& entry : fs::directory_iterator(model)) {
      if (entry.path().extension() == ".safetensors") file = entry.path().string();
    }
    const auto before = open_and_run(model, cached());
    for (const bool same_time : {false, true}) {
      SCOPED_TRACE(same_time);
      const auto time = fs::last_write_time(file);
      std::string bytes = read_file(file);
      const auto header =
          static_cast<size_t>(static_cast<unsigned char>(bytes[0])) + 256U * static_cast<unsigned char>(bytes[1]) + 8U;
      // Every number's sign.
      const size_t element = std::string(name) == "llama-h48-float32" ? 4 : bytes.find("\"BF16\"") < header ? 2 : 4;
      for (size_t i = header + element - 1; i < bytes.size(); i += element) bytes[i] ^= static_cast<char>(0x80);
      {
        const int descriptor = open(file.c_str(), O_WRONLY);
        ASSERT_EQ(pwrite(descriptor, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
        close(descriptor);
      }
      fs::last_write_time(file, same_time ? time : time + std::chrono::seconds(2));
      const auto plain = open_and_run(model, {});
      const auto opened = open_and_run(model, cached());
      EXPECT_THAT(opened.log, ElementsAre(HasSubstr("another state of"), HasSubstr(": wrote ")));
      EXPECT_EQ(opened.logits, plain.logits);
      EXPECT_THAT(open_and_run(model, cached()).log, ElementsAre(HasSubstr(": read ")));
    }
    const auto time = fs::last_write_time(file);
    fs::last_write_time(file, time + std::chrono::nanoseconds(1));
    EXPECT_THAT(open_and_run(model, cached()).log, Contains(HasSubstr("another state of")));
    fs::remove(cached().path);
  }
}

TEST_F(PackedCacheTest, OfATorchArchiveTheArchivesChecksumsCount) {
  const TemporaryFolder model;
  model.write("params.json", mistral_params());
  const std::string archive = write_zero_archive(model, mistral_tensors(), "consolidated.00.pth", 0x3c);
  const auto time = fs::last_write_time(archive);
  const auto plain = open_and_run(model.path(), {});
  open_and_run(model.path(), cached());
  const auto used = open_and_run(model.path(), cached());
  EXPECT_THAT(used.log, ElementsAre(HasSubstr(": read ")));
  EXPECT_EQ(used.logits, plain.logits);
  fs::last_write_time(archive, time + std::chrono::seconds(1));
  EXPECT_THAT(open_and_run(model.path(), cached()).log, Contains(HasSubstr("another state of")));
  // Other data, the same size and time.
  fs::remove(archive);
  write_zero_archive(model, mistral_tensors(), "consolidated.00.pth", 0x3d);
  fs::last_write_time(archive, time + std::chrono::seconds(1));
  EXPECT_THAT(open_and_run(model.path(), cached()).log, Contains(HasSubstr("another state of")));
}

TEST_F(PackedCacheTest, AnotherDtypeOrLayerIsNotConfused) {
  const std::string model = base("llama-h48-float32");
  auto options = cached();
  for (const mox_weights weights : {MOX_WEIGHTS_F32, MOX_WEIGHTS_BF16, MOX_WEIGHTS_AS_STORED}) {
    options.weights = weights;
    CacheOptions plain;
    plain.weights = weights;
    const auto opened = open_and_run(model, options);
    // As stored is float32 here: what bfloat16 left behind is replaced.
    EXPECT_THAT(opened.log, Contains(HasSubstr(": wrote ")));
    EXPECT_EQ(opened.logits, open_and_run(model, plain).logits);
  }
  for (const int layer : {0, 1}) {
    const auto opened = open_and_run(model, options, 2, layer);
    EXPECT_THAT(opened.log, ElementsAre(HasSubstr("another state of"), HasSubstr(": wrote ")));
    const auto used = open_and_run(model, options, 2, layer);
    EXPECT_THAT(used.log, ElementsAre(HasSubstr(": read ")));
    EXPECT_EQ(used.logits, open_and_run(model, {}, 2, layer).logits);
  }
}

TEST_F(PackedCacheTest, AnotherStorageIsNotConfused) {
  const std::string model = base("llama-h48-bfloat16");
  const auto want = open_and_run(model, {});
  auto plain = cached(), compact = cached();
  plain.storage = MOX_STORAGE_PLAIN;
  compact.storage = MOX_STORAGE_COMPACT;
  int64_t bytes[2] = {};
  for (const bool map : {false, true}) {
    for (CacheOptions* options : {&plain, &compact}) {
      options->map = map;
      const auto written = open_and_run(model, *options);
      EXPECT_THAT(written.log, Contains(HasSubstr(": wrote ")));
      const auto used = open_and_run(model, *options);
      EXPECT_THAT(used.log, ElementsAre(HasSubstr(map ? ": mapped " : ": read ")));
      EXPECT_EQ(used.weight_bytes, written.weight_bytes);
      EXPECT_EQ(written.logits, want.logits);
      EXPECT_EQ(used.logits, want.logits);
      bytes[options == &compact ? 1 : 0] = used.weight_bytes;
    }
  }
  EXPECT_LT(bytes[1], bytes[0]);
  // The tensors of a compact file come out as they went in.
  EXPECT_EQ(open_and_run(model, compact).logits, want.logits);
  const cache::PackedFile file(cached().path);
  EXPECT_EQ(file.header().aim, kernels::Storage::kCompact);
  EXPECT_TRUE(std::ranges::any_of(file.header().sections, [](const cache::PackedSection& section) {
    return section.storage == kernels::Storage::kCompact;
  }));
}

// What is found not to fit only when the rest is packed already: not among the panels that are tried first.
TEST_F(PackedCacheTest, AMatrixThatTurnsOutNotToFitStaysPlain) {
  const std::string model = base("llama-h48-bfloat16"), name = "model.layers.1.mlp.gate_proj.weight";
  const std::string path = model + "/model.safetensors";
  std::string bytes = read_file(path);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  const auto tensor = nlohmann::json::parse(bytes.substr(sizeof header_bytes, header_bytes)).at(name);
  ASSERT_EQ(tensor.at("shape"), (std::vector<int64_t>{88, 48}));
  // Rows 64 to 87, the last panel: 24 upper bytes of either sign.
  const size_t begin = sizeof header_bytes + header_bytes + tensor.at("data_offsets")[0].get<size_t>();
  for (size_t i = 64 * 48; i < size_t{88} * 48; ++i) {
    bytes[begin + 2 * i + 1] = static_cast<char>((i * 5 % 3 == 0 ? 0x80 : 0) | (0x26 + i * 7 % 24));
  }
  folder_.write("llama-h48-bfloat16/model.safetensors", bytes);

  auto plain = CacheOptions{}, compact = cached();
  plain.storage = MOX_STORAGE_PLAIN;
  compact.storage = MOX_STORAGE_COMPACT;
  const auto want = open_and_run(model, plain), written = open_and_run(model, compact);
  EXPECT_THAT(written.log, ElementsAre(HasSubstr("no such file"), name + " cannot be held compact: packed anew",
                                       HasSubstr(": wrote ")));
  EXPECT_EQ(written.logits, want.logits);
  const cache::PackedFile file(compact.path);
  for (const cache::PackedSection& section : file.header().sections) {
    EXPECT_EQ(section.storage == kernels::Storage::kPlain, section.name == name) << section.name;
  }
  for (const bool map : {false, true}) {
    compact.map = map;
    const auto used = open_and_run(model, compact);
    EXPECT_THAT(used.log, ElementsAre(HasSubstr(map ? ": mapped " : ": read ")));
    EXPECT_EQ(used.logits, want.logits);
    EXPECT_EQ(used.weight_bytes, written.weight_bytes);
  }
}

TEST_F(PackedCacheTest, FoldersHoldAFileForEachRequest) {
  const std::string one = base("llama-h48-float32"), other = base("llama-h48-bfloat16");
  auto options = cached();
  options.path = folder_.file("caches");
  fs::create_directory(options.path);
  for (const std::string& model : {one, other}) {
    open_and_run(model, options);
    open_and_run(model, options, 2, 1);
  }
  options.weights = MOX_WEIGHTS_BF16;
  open_and_run(one, options);
  EXPECT_EQ(std::distance(fs::directory_iterator(options.path), {}), 5);
  options.weights = MOX_WEIGHTS_AS_STORED;
  for (const std::string& model : {one, other}) {
    EXPECT_THAT(open_and_run(model, options).log, ElementsAre(HasSubstr(": read ")));
  }
}

TEST_F(PackedCacheTest, WithoutAPathItLiesBesideTheCheckpoint) {
  const std::string model = base("llama-h48-bfloat16");
  auto options = cached();
  options.path = "";
  open_and_run(model, options);
  EXPECT_TRUE(fs::exists(model + "/model.bfloat16.moxie-packed"));
  EXPECT_THAT(open_and_run(model, options).log, ElementsAre(HasSubstr(": read ")));
  open_and_run(model, options, 1, 0);
  EXPECT_TRUE(fs::exists(model + "/feed-forward-0.bfloat16.moxie-packed"));
}

TEST_F(PackedCacheTest, WhereNothingCanBeWrittenLoadingGoesOn) {
  const std::string model = base("llama-h48-bfloat16");
  const auto plain = open_and_run(model, {});
  const std::string closed = folder_.file("closed");
  fs::create_directory(closed);
  fs::permissions(closed, fs::perms::owner_read | fs::perms::owner_exec);
  std::vector<std::string> places{folder_.file("no-such-folder/cache"), folder_.file("no-such-folder/"),
                                  "/proc/moxie-cache"};
  if (geteuid() != 0) places.push_back(closed);  // root may write everywhere
  for (const std::string& place : places) {
    SCOPED_TRACE(place);
    auto options = cached();
    options.path = place;
    const auto opened = open_and_run(model, options);
    EXPECT_THAT(opened.warnings, ElementsAre(HasSubstr("packed cache not written: ")));
    EXPECT_EQ(opened.logits, plain.logits);
  }
  fs::permissions(closed, fs::perms::owner_all);
}

TEST_F(PackedCacheTest, OnlyReadingNeverWrites) {
  const std::string model = base("llama-h48-bfloat16");
  auto options = cached();
  options.mode = MOX_PACKED_CACHE_READ;
  EXPECT_THAT(open_and_run(model, options).log, ElementsAre(HasSubstr("no such file")));
  EXPECT_FALSE(fs::exists(options.path));
  open_and_run(model, cached());
  EXPECT_THAT(open_and_run(model, options).log, ElementsAre(HasSubstr(": read ")));
  flip(options.path, static_cast<int64_t>(fs::file_size(options.path)) - 1);
  const std::string damaged = read_file(options.path);
  EXPECT_THAT(open_and_run(model, options).log, ElementsAre(HasSubstr("is damaged")));
  EXPECT_EQ(read_file(options.path), damaged);
}

TEST_F(PackedCacheTest, AForeignFileIsLeftAlone) {
  const std::string model = base("llama-h48-bfloat16");
  folder_.write("cache", std::string(100, 'x'));
  const auto opened = open_and_run(model, cached());
  EXPECT_THAT(opened.warnings, ElementsAre(HasSubstr("is not a packed cache"), HasSubstr("left alone")));
  EXPECT_EQ(read_file(cached().path), std::string(100, 'x'));
  // The checkpoint itself, given by mistake.
  auto options = cached();
  options.path = model + "/model.safetensors";
  const std::string before = read_file(options.path);
  EXPECT_THAT(open_and_run(model, options).warnings, Contains(HasSubstr("left alone")));
  EXPECT_EQ(read_file(options.path), before);
}

TEST_F(PackedCacheTest, ProcessesAtOnceDoNotDisturbEachOther) {
  const std::string model = base("llama-h48-float32");
  std::ostringstream want;
  for (const uint32_t bits : open_and_run(model, {}).logits) want << bits << " ";
  for (int round = 0; round < 3; ++round) {
    fs::remove(cached().path);
    std::vector<std::vector<std::string>> commands;
    for (int i = 0; i < 6; ++i) commands.push_back({"open", model, cached().path, i % 2 == 0 ? "read" : "map"});
    for (const std::string& output : run_children(commands)) EXPECT_EQ(output, want.str());
    EXPECT_THAT(open_and_run(model, cached()).log, ElementsAre(HasSubstr(": read ")));
    EXPECT_FALSE(fs::exists(cached().path + ".partial"));
  }
}

TEST_F(PackedCacheTest, WhatADeadWriterLeftIsTakenOverAndALivingOneIsLeft) {
  const std::string model = base("llama-h48-float32");
  const std::string partial = folder_.write("cache.partial", std::string(5000000, 'x'));
  const int descriptor = open(partial.c_str(), O_RDWR);
  ASSERT_EQ(flock(descriptor, LOCK_EX | LOCK_NB), 0);
  EXPECT_THAT(open_and_run(model, cached()).warnings, ElementsAre(HasSubstr("is being written at this moment")));
  EXPECT_EQ(fs::file_size(partial), 5000000U);
  close(descriptor);
  EXPECT_THAT(open_and_run(model, cached()).log, Contains(HasSubstr(": wrote ")));
  EXPECT_FALSE(fs::exists(partial));
  EXPECT_THAT(open_and_run(model, cached()).log, ElementsAre(HasSubstr(": read ")));
}

TEST_F(PackedCacheTest, CanBeDescribedAsAFile) {
  const std::string model = base("llama-h48-float32");
  open_and_run(model, cached());
  mox_file* raw = nullptr;
  mox_error error{};
  ASSERT_EQ(mox_file_open(cached().path.c_str(), &raw, &error), MOX_OK) << error.message;
  const std::unique_ptr<mox_file, decltype(&mox_file_free)> packed(raw, mox_file_free);
  mox_file_info info{};
  info.struct_size = sizeof(info);
  ASSERT_EQ(mox_file_describe(raw, &info, &error), MOX_OK);
  EXPECT_STREQ(info.format, "packed cache");
  EXPECT_EQ(info.tensors, 15);
  ASSERT_EQ(mox_file_open(model.c_str(), &raw, &error), MOX_OK);
  const std::unique_ptr<mox_file, decltype(&mox_file_free)> checkpoint(raw, mox_file_free);
  for (int64_t i = 0; i < info.tensors; ++i) {
    mox_tensor_info tensor{};
    tensor.struct_size = sizeof(tensor);
    ASSERT_EQ(mox_file_tensor(packed.get(), i, &tensor, &error), MOX_OK);
    int64_t there = 0;
    ASSERT_EQ(mox_file_find_tensor(checkpoint.get(), tensor.name, &there, &error), MOX_OK) << tensor.name;
    std::vector<float> found(static_cast<size_t>(tensor.bytes / 4)), want(found.size());
    const auto size = static_cast<size_t>(tensor.bytes);
    ASSERT_EQ(mox_file_read_tensor(packed.get(), i, found.data(), size, &error), MOX_OK) << error.message;
    ASSERT_EQ(mox_file_read_tensor(checkpoint.get(), there, want.data(), size, &error), MOX_OK) << error.message;
    EXPECT_EQ(found, want) << tensor.name;
  }
}

}  // namespace
}  // namespace moxie::test
