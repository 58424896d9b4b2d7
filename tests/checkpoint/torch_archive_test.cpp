#include "checkpoint/torch_archive.h"

#include <filesystem>
#include <thread>

#include "checkpoint/support.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

using test::Archive;
using test::expect_refusal;
using test::floats;
using test::TemporaryFolder;
namespace pickle = test::pickle;
using namespace std::string_literals;

const std::string six = floats({0, 1, 2, 3, 4, 5});

class TorchArchiveTest : public testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<TensorSource> open(const Archive& archive) const {
    return open_torch_archive(write_archive(folder_, archive));
  }
  void refuse(const Archive& archive, std::vector<std::string> parts, mox_status status = MOX_INVALID_FILE) const {
    parts.push_back(folder_.file("adapter_model.bin"));
    expect_refusal(status, parts, [&] { (void)open(archive); });
  }
  // data.pkl of these instructions, and storage 0 of six floats.
  void refuse_pickle(const std::string& instructions, const std::vector<std::string>& parts,
                     mox_status status = MOX_INVALID_FILE) const {
    refuse({instructions, {{"0", six}}}, parts, status);
  }
  // A dictionary {"x": value}.
  void refuse_value(const std::string& value, const std::vector<std::string>& parts,
                    mox_status status = MOX_INVALID_FILE) const {
    refuse_pickle(pickle::begin + pickle::dict({{"x", value}}) + pickle::end, parts, status);
  }
  static std::vector<float> values(const TensorSource& source, size_t entry) {
    std::vector<float> result(static_cast<size_t>(source.entries()[entry].elements()));
    source.read(entry, 0, static_cast<int64_t>(result.size()), result.data());
    return result;
  }
  TemporaryFolder folder_;
};

TEST_F(TorchArchiveTest, ReadsTensorsParametersAndViews) {
  const std::string whole = pickle::tensor(pickle::storage("0", 6), 0, {2, 3}, {3, 1});
  const std::string transposed = pickle::tensor(pickle::storage("0", 6), 0, {3, 2}, {1, 3});
  const std::string inside = pickle::tensor(pickle::storage("0", 6), 4, {2}, {1});
  const std::string scalar = pickle::tensor(pickle::storage("0", 6), 5, {}, {});
  const std::string empty = pickle::tensor(pickle::storage("0", 6), 6, {0, 4}, {4, 1});
  const std::string parameter = pickle::call(pickle::global("torch._utils", "_rebuild_parameter"),
                                             pickle::tuple({whole, "\x88", pickle::hooks()}));
  const auto source = open({pickle::begin +
                                pickle::dict({{"whole", whole},
                                              {"parameter", parameter},
                                              {"transposed", transposed},
                                              {"inside", inside},
                                              {"scalar", scalar},
                                              {"empty", empty}}) +
                                pickle::end,
                            {{"0", six}}});
  ASSERT_EQ(source->entries().size(), 6U);
  EXPECT_EQ(source->entries()[0].name, "empty");
  EXPECT_EQ(source->entries()[5].describe(), "float32 [2, 3]");
  EXPECT_EQ(source->entries()[5].file, "adapter_model.bin");
  const auto of = [&](const char* name) { return values(*source, static_cast<size_t>(source->find(name))); };
  EXPECT_THAT(of("whole"), testing::ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(of("parameter"), testing::ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(of("transposed"), testing::ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(of("inside"), testing::ElementsAre(4, 5));
  EXPECT_THAT(of("scalar"), testing::ElementsAre(5));
  EXPECT_TRUE(of("empty").empty());
  std::vector<float> part(3);
  source->read(static_cast<size_t>(source->find("transposed")), 1, 3, part.data());
  EXPECT_THAT(part, testing::ElementsAre(3, 1, 4));
  expect_refusal(MOX_INTERNAL, {"\"inside\"", "1 + 2 of 2"},
                 [&] { source->read(static_cast<size_t>(source->find("inside")), 1, 2, part.data()); });
}

TEST_F(TorchArchiveTest, ReadsEveryDtype) {
  const std::vector<std::pair<std::string, size_t>> types = {
      {"FloatStorage", 4}, {"BFloat16Storage", 2}, {"HalfStorage", 2}, {"DoubleStorage", 8}, {"LongStorage", 8},
      {"IntStorage", 4},   {"ShortStorage", 2},    {"CharStorage", 1}, {"ByteStorage", 1},   {"BoolStorage", 1}};
  for (size_t index = 0; index < types.size(); ++index) {
    const std::string bytes = test::little(0x0807060504030201, types[index].second);
    const auto source =
        open({pickle::begin +
                  pickle::dict({{"x", pickle::tensor(pickle::storage("0", 1, types[index].first), 0, {1}, {1})}}) +
                  pickle::end,
              {{"0", bytes}}});
    EXPECT_EQ(source->entries()[0].dtype, static_cast<DType>(index));
    std::string read(bytes.size(), '\0');
    source->read(0, 0, 1, read.data());
    EXPECT_EQ(read, bytes);
  }
}

TEST_F(TorchArchiveTest, ReadsOrderedDictionariesWithVersions) {
  const std::string tensor = pickle::tensor(pickle::storage("0", 6), 0, {6}, {1});
  const std::string versions = pickle::dict({{"_metadata", pickle::dict({{"", pickle::dict({{"version", "K\1"}})}})}});
  const auto ordered =
      open({pickle::begin + pickle::hooks() + pickle::text("x") + tensor + "s" + versions + "b" + pickle::end,
            {{"0", six}}});
  EXPECT_EQ(ordered->entries().size(), 1U);
}

TEST_F(TorchArchiveTest, ReadsRememberedValues) {
  // The storage and the empty dictionary are named once and asked for again, as torch does.
  const std::string function = pickle::global("torch._utils", "_rebuild_tensor_v2");
  const std::string first = function + "q\1" + "(" + pickle::storage("0", 6) + "q\2" + "K\0"s + pickle::sizes({2}) +
                            pickle::sizes({1}) + pickle::no + pickle::hooks() + "r\3\0\0\0"s + "tR";
  const std::string second = "h\1(h\2K\4" + pickle::sizes({2}) + pickle::sizes({1}) + pickle::no + "j\3\0\0\0"s + "tR";
  const auto source = open({pickle::begin + pickle::dict({{"a", first}, {"b", second}}) + pickle::end, {{"0", six}}});
  EXPECT_THAT(values(*source, 0), testing::ElementsAre(0, 1));
  EXPECT_THAT(values(*source, 1), testing::ElementsAre(4, 5));
}

TEST_F(TorchArchiveTest, MayBeReadByThreads) {
  std::vector<std::pair<std::string, std::string>> tensors, storages;
  for (int index = 0; index < 16; ++index) {
    const std::string key = std::to_string(index);
    storages.emplace_back(key, floats(std::vector<float>(1000, static_cast<float>(index))));
    tensors.emplace_back("t" + key, pickle::tensor(pickle::storage(key, 1000), 0, {1000}, {1}));
  }
  const auto source = open({pickle::begin + pickle::dict(tensors) + pickle::end, storages});
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int index = 0; index < 64; ++index) {
        const std::string name = "t" + std::to_string(index % 16);
        const auto read = values(*source, static_cast<size_t>(source->find(name)));
        for (const float value : read) wrong[thread] += value != static_cast<float>(index % 16);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

TEST_F(TorchArchiveTest, ExecutesNothing) {
  const std::string trace = folder_.file("executed");
  for (const char* module : {"os", "posix", "nt", "subprocess", "builtins", "__builtin__"}) {
    const std::string name =
        std::string(module) == "builtins" || std::string(module) == "__builtin__" ? "eval" : "system";
    refuse_pickle(
        pickle::begin + pickle::call(pickle::global(module, name), pickle::tuple({pickle::text("touch " + trace)})) +
            pickle::end,
        {"data.pkl", "\"" + std::string(module) + "." + name + "\"", "nothing was executed"}, MOX_UNSUPPORTED);
  }
  EXPECT_FALSE(std::filesystem::exists(trace));
  refuse_value(pickle::tensor(pickle::storage("0", 6, "ComplexFloatStorage"), 0, {1}, {1}),
               {"\"torch.ComplexFloatStorage\""}, MOX_UNSUPPORTED);
  refuse_value(pickle::global("torch._utils", "_rebuild_qtensor"), {"\"torch._utils._rebuild_qtensor\""},
               MOX_UNSUPPORTED);
}

TEST_F(TorchArchiveTest, RefusesOtherInstructionsByName) {
  const std::vector<std::pair<std::string, std::string>> instructions = {{"\x93", "STACK_GLOBAL (0x93)"},
                                                                         {"\x81", "NEWOBJ"},
                                                                         {"\x92", "NEWOBJ_EX"},
                                                                         {"i", "INST"},
                                                                         {"o", "OBJ"},
                                                                         {"\x82\1", "EXT1"},
                                                                         {"P", "PERSID"},
                                                                         {"I1\n", "INT"},
                                                                         {"0", "POP"},
                                                                         {"2", "DUP"},
                                                                         {"\x8c\1x", "SHORT_BINUNICODE"},
                                                                         {"\x94", "MEMOIZE"},
                                                                         {"\x95", "FRAME"},
                                                                         {"U\1x", "SHORT_BINSTRING"},
                                                                         {"G12345678", "BINFLOAT"},
                                                                         {"d", "DICT"},
                                                                         {"\xff", "unknown (0xff)"},
                                                                         {std::string(1, '\0'), "unknown (0x00)"}};
  for (const auto& [bytes, name] : instructions) {
    refuse_pickle(pickle::begin + bytes + pickle::end, {"data.pkl", "instruction " + name, "instruction at byte 2"});
  }
}

TEST_F(TorchArchiveTest, RefusesPicklesThatBreakOff) {
  refuse_pickle("", {"ends in the middle"});
  refuse_pickle(pickle::begin, {"ends in the middle"});
  refuse_pickle(pickle::begin + "X\xff\xff\xff\xff" + "abc", {"ends in the middle"});
  refuse_pickle(pickle::begin + "ctorch", {"ends in the middle"});
  refuse_pickle(pickle::begin + "c" + std::string(300, 'a') + "\nb\n.", {"longer than 256"});
  refuse_pickle(pickle::begin + "}.}", {"1 bytes after STOP"});
  refuse_pickle("\x80\4}.", {"PROTO 4", "expected protocol 2"});
  refuse_pickle(pickle::begin + pickle::begin + "}.", {"PROTO 2", "at the beginning"});
}

TEST_F(TorchArchiveTest, RefusesStackAndMemoMistakes) {
  refuse_pickle(pickle::begin + ".", {"0 values on the stack"});
  refuse_pickle(pickle::begin + "}}.", {"2 values on the stack"});
  refuse_pickle(pickle::begin + "}(.", {"expected one"});
  refuse_pickle(pickle::begin + "s.", {"empty stack"});
  refuse_pickle(pickle::begin + "}(s.", {"empty stack"});
  refuse_pickle(pickle::begin + "q\1.", {"empty stack"});
  refuse_pickle(pickle::begin + "t.", {"mark that was never set"});
  refuse_pickle(pickle::begin + "u.", {"mark that was never set"});
  refuse_pickle(pickle::begin + "h\7.", {"value 7", "never remembered"});
  refuse_pickle(pickle::begin + "j\1\0\0\1."s, {"value 16777217"});
  refuse_pickle(pickle::begin + "}(X\1\0\0\0au."s, {"key without a value"});
  refuse_pickle(pickle::begin + "N(X\1\0\0\0aNu."s, {"SETITEMS on None", "a dictionary"});
  refuse_pickle(pickle::begin + "}Na.", {"APPENDS on a dictionary", "a list"});
  refuse_pickle(pickle::begin + "\x8a\x09" + "123456789.", {"LONG1 of 9 bytes"});
  refuse_pickle(pickle::begin + "X\1\0\0\0\xff."s, {"\"\\xff\" is not UTF-8"});
}

TEST_F(TorchArchiveTest, BoundsWhatInstructionsMakeItHold) {
  // Two bytes make a value; no more than two million are held.
  std::string many = pickle::begin;
  for (int index = 0; index < 2200000; ++index) many += "]";
  refuse_pickle(many + ".", {"more than 2097152 values"});
  // Nesting without end neither recurses nor overflows.
  refuse_pickle(pickle::begin + ")" + std::string(1000000, '\x85') + ".", {"the saved object is a tuple"});
  refuse({std::string((16 << 20) + 1, ')'), {}}, {"data.pkl has 16777217 bytes", "at most 16777216"});
}

TEST_F(TorchArchiveTest, RefusesOtherObjects) {
  refuse_pickle(pickle::begin + "N.", {"the saved object is None", "a dictionary"});
  refuse_pickle(pickle::begin + "].", {"the saved object is a list"});
  refuse_pickle(pickle::begin + pickle::tensor(pickle::storage("0", 6), 0, {6}, {1}) + ".",
                {"the saved object is a tensor"});
  refuse_value(pickle::integer(5), {"tensor \"x\" is an integer", "a tensor or parameter"});
  refuse_value(pickle::dict({}), {"tensor \"x\" is a dictionary"});
  refuse_pickle(pickle::begin + "}(K\5K\5u.", {"dictionary's key is an integer", "a string"});
  const std::string tensor = pickle::tensor(pickle::storage("0", 6), 0, {6}, {1});
  refuse_pickle(pickle::begin + pickle::dict({{"x", tensor}, {"x", tensor}}) + ".", {"tensor \"x\" is there twice"});
  refuse_pickle(pickle::begin + pickle::dict({{"", tensor}}) + ".", {"1 to 1024 bytes"});
  refuse_pickle(pickle::begin + pickle::dict({{std::string(1, '\0'), tensor}}) + ".", {"control characters"});
  refuse_pickle(pickle::begin + "}" + pickle::dict({{"exec", "N"}}) + "b.", {"attribute \"exec\"", "_metadata"});
  refuse_pickle(pickle::begin + "]" + pickle::dict({}) + "b.", {"BUILD on a list"});
  refuse_pickle(pickle::begin + "}]b.", {"BUILD passes is a list"});
}

TEST_F(TorchArchiveTest, RefusesCalls) {
  refuse_value("N)R", {"REDUCE calls is None", "a function"});
  refuse_value(pickle::global("collections", "OrderedDict") + "NR", {"REDUCE passes is None", "a tuple"});
  refuse_value(pickle::call(pickle::global("collections", "OrderedDict"), pickle::tuple({"]"})), {"with arguments"});
  const std::string tensor = pickle::tensor(pickle::storage("0", 6), 0, {6}, {1});
  const std::string parameter = pickle::global("torch._utils", "_rebuild_parameter");
  refuse_value(pickle::call(parameter, pickle::tuple({tensor})), {"_rebuild_parameter with 1 arguments", "3"});
  refuse_value(pickle::call(parameter, pickle::tuple({"N", pickle::no, pickle::hooks()})),
               {"parameter's data is None", "a tensor"});
  refuse_value(pickle::call(parameter, pickle::tuple({tensor, "N", pickle::hooks()})), {"requires_grad is None"});
  refuse_value(pickle::call(parameter, pickle::tuple({tensor, pickle::no, pickle::dict({{"h", "N"}})})),
               {"hooks; expected none"});
}

TEST_F(TorchArchiveTest, RefusesTensorArguments) {
  const std::string rebuild = pickle::global("torch._utils", "_rebuild_tensor_v2");
  const std::string storage = pickle::storage("0", 6);
  const auto with = [&](const std::vector<std::string>& arguments) {
    return pickle::call(rebuild, pickle::tuple(arguments));
  };
  const std::string zero = pickle::integer(0), one = pickle::sizes({1});
  refuse_value(with({storage}), {"_rebuild_tensor_v2 with 1 arguments"});
  refuse_value(with({"N", zero, one, one, pickle::no, pickle::hooks()}), {"storage is None"});
  refuse_value(with({storage, "N", one, one, pickle::no, pickle::hooks()}), {"offset is None"});
  refuse_value(with({storage, pickle::integer(-1), one, one, pickle::no, pickle::hooks()}), {"at offset -1"});
  refuse_value(with({storage, zero, "]", one, pickle::no, pickle::hooks()}), {"shape is a list", "a tuple"});
  refuse_value(with({storage, zero, pickle::tuple({"N"}), one, pickle::no, pickle::hooks()}), {"shape is None"});
  refuse_value(with({storage, zero, pickle::sizes({-3}), one, pickle::no, pickle::hooks()}), {"shape holds -3"});
  refuse_value(with({storage, zero, one, pickle::sizes({-1}), pickle::no, pickle::hooks()}), {"stride holds -1"});
  refuse_value(with({storage, zero, one, pickle::sizes({1, 1}), pickle::no, pickle::hooks()}),
               {"1 dimensions with 2 strides"});
  const std::string nine = pickle::sizes(std::vector<int64_t>(9, 1));
  refuse_value(with({storage, zero, nine, nine, pickle::no, pickle::hooks()}), {"9 dimensions", "at most 8"});
  refuse_value(with({storage, zero, one, one, "N", pickle::hooks()}), {"requires_grad is None"});
  refuse_value(with({storage, zero, one, one, pickle::no, pickle::dict({{"h", "N"}})}), {"hooks"});
  refuse_value(with({storage, zero, one, one, pickle::no, pickle::hooks(), pickle::dict({{"conj", "\x88"}})}),
               {"attribute \"conj\""});
}

TEST_F(TorchArchiveTest, RefusesStorages) {
  const auto storage = [](const std::string& kind, const std::string& type, const std::string& key,
                          const std::string& elements) {
    return pickle::tuple({kind, type, key, pickle::text("cpu"), elements}) + "Q";
  };
  const std::string kind = pickle::text("storage"), type = pickle::global("torch", "FloatStorage");
  const std::string key = pickle::text("0"), six_elements = pickle::integer(6);
  refuse_value("NQ", {"persistent id is None"});
  refuse_value(pickle::tuple({kind, type, key}) + "Q", {"persistent id of 3 parts"});
  refuse_value(storage(pickle::text("module"), type, key, six_elements), {"kind \"module\"", "\"storage\""});
  refuse_value(storage(kind, pickle::text("FloatStorage"), key, six_elements), {"storage's type is a string"});
  refuse_value(storage(kind, type, pickle::text("../../etc/passwd"), six_elements),
               {"\"../../etc/passwd\"", "a number"});
  refuse_value(storage(kind, type, pickle::text(""), six_elements), {"storage key \"\""});
  refuse_value(storage(kind, type, key, pickle::integer(-6)), {"\"0\" of -6 elements"});
  refuse_value(storage(kind, type, key, "N"), {"storage's size is None"});

  const auto over = [](const std::string& from) { return pickle::tensor(from, 0, {1}, {1}); };
  refuse_value(over(pickle::storage("7", 6)), {"tensor \"x\" is float32 [1]", "\"model/data/7\" is missing"});
  refuse_value(over(pickle::storage("0", 7)), {"has 24 bytes", "7 elements of 4"});
  refuse_value(over(pickle::storage("0", INT64_MAX)), {"has 24 bytes", "9223372036854775807 elements"});
  refuse_pickle(
      pickle::begin +
          pickle::dict({{"a", over(pickle::storage("0", 6))}, {"b", over(pickle::storage("0", 6, "IntStorage"))}}) +
          pickle::end,
      {"tensor \"b\"", "is float32 elsewhere"});
}

TEST_F(TorchArchiveTest, RefusesViewsThatLeaveTheirStorage) {
  const auto view = [](int64_t offset, const std::vector<int64_t>& shape, const std::vector<int64_t>& stride) {
    return pickle::tensor(pickle::storage("0", 6), offset, shape, stride);
  };
  refuse_value(view(1, {6}, {1}), {"float32 [6] at offset 1 with strides [1]", "of 6 elements"});
  refuse_value(view(6, {1}, {1}), {"at offset 6"});
  refuse_value(view(7, {0}, {1}), {"at offset 7"});
  refuse_value(view(0, {2, 3}, {4, 1}), {"strides [4, 1]"});
  refuse_value(view(0, {2}, {INT64_MAX}), {"leave its storage"});
  refuse_value(view(1, {2}, {INT64_MAX}), {"leave its storage"});
  refuse_value(view(0, {3, 2}, {INT64_MAX / 2, INT64_MAX / 2}), {"leave its storage"});
  refuse_value(view(0, {7}, {0}), {"float32 [7], 28 bytes", "has 24"});
  refuse_value(view(0, {INT64_MAX, INT64_MAX}, {0, 0}), {"more than"});
  refuse_value(view(0, {1 << 30, 1 << 30}, {0, 0}), {"bytes"});
}

TEST_F(TorchArchiveTest, RefusesArchives) {
  const std::string good =
      pickle::begin + pickle::dict({{"x", pickle::tensor(pickle::storage("0", 6), 0, {6}, {1})}}) + ".";
  const std::string path = folder_.file("adapter_model.bin");
  const auto refuse_entries = [&](const std::vector<test::ZipEntry>& entries, std::vector<std::string> parts,
                                  mox_status status = MOX_INVALID_FILE) {
    test::write_zip(path, entries);
    parts.push_back(path);
    expect_refusal(status, parts, [&] { (void)open_torch_archive(path); });
  };
  refuse_entries({{"m/data.pkl", good}}, {"\"m/data/0\" is missing"});
  refuse_entries({{"m/data/0", six}}, {"0 entries called data.pkl"});
  refuse_entries({{"m/data.pkl", good}, {"n/data.pkl", good}}, {"2 entries called data.pkl"});
  refuse_entries({{"m/data.pkl", std::string(5000, 'N'), true}}, {"\"m/data.pkl\" is compressed (method 8)", "stored"});
  refuse_entries({{"m/data.pkl", good}, {"m/data/0", std::string(2400, 'x'), true}}, {"\"m/data/0\" is compressed"});
  refuse({good, {{"0", six}}, "big"}, {"byteorder is \"big\"", "\"little\""}, MOX_UNSUPPORTED);
  refuse({good, {{"0", six}}, std::string(1000, 'l')}, {"byteorder is"}, MOX_UNSUPPORTED);
  EXPECT_NO_THROW((void)open({good, {{"0", six}}, ""}));

  folder_.write("adapter_model.bin", "\x80\x02}q\x01.");
  expect_refusal(MOX_INVALID_FILE, {path, "not a zip archive"}, [&] { (void)open_torch_archive(path); });
  folder_.write("adapter_model.bin", "");
  expect_refusal(MOX_INVALID_FILE, {path, "not a zip archive"}, [&] { (void)open_torch_archive(path); });
  expect_refusal(MOX_NOT_FOUND, {"/nonexistent.bin"}, [] { (void)open_torch_archive("/nonexistent.bin"); });
}

TEST_F(TorchArchiveTest, RefusesEntriesThatOccurTwice) {
  const std::string path = folder_.file("adapter_model.bin");
  test::write_zip(path, {{"m/data.pkl", "N."}, {"m/data.pkm", "N."}});
  std::string bytes = test::read_file(path);
  for (size_t at = bytes.find("data.pkm"); at != std::string::npos; at = bytes.find("data.pkm")) bytes[at + 7] = 'l';
  folder_.write("adapter_model.bin", bytes);
  expect_refusal(MOX_INVALID_FILE, {path, "\"m/data.pkl\" is there twice"}, [&] { (void)open_torch_archive(path); });
}

TEST_F(TorchArchiveTest, NoticesDamagedBytes) {
  const std::string good =
      pickle::begin + pickle::dict({{"x", pickle::tensor(pickle::storage("0", 6), 0, {6}, {1})}}) + ".";
  const std::string path = write_archive(folder_, {good, {{"0", six}}});
  std::string bytes = test::read_file(path);
  const size_t at = bytes.find(six);
  ASSERT_NE(at, std::string::npos);
  bytes[at + 5] ^= 1;
  folder_.write("adapter_model.bin", bytes);
  const auto source = open_torch_archive(path);
  expect_refusal(MOX_INVALID_FILE, {path, "\"model/data/0\" is damaged", "CRC"}, [&] { (void)values(*source, 0); });
}

}  // namespace
}  // namespace moxie::checkpoint
