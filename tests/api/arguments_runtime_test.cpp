// Runtimes, names, files: what is refused, and what is never NULL.
#include <sched.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "support.h"

namespace api_test {
namespace {

using testing::HasSubstr;

void refuse(mox_status status, const std::string& words, const std::function<void(mox_runtime_options&)>& change) {
  SCOPED_TRACE(words);
  mox_runtime_options options;
  mox_runtime_options_init(&options, sizeof(options));
  change(options);
  mox_runtime* out = untouched_handle<mox_runtime>();
  refused(status, words, mox_runtime_create, &options, &out);
  EXPECT_EQ(out, untouched_handle<mox_runtime>());
}

TEST(RuntimeArguments, Options) {
  using Options = mox_runtime_options;
  refuse(MOX_INVALID_ARGUMENT, "threads is -1", [](Options& o) { o.threads = -1; });
  refuse(MOX_INVALID_ARGUMENT, "threads is 1025", [](Options& o) { o.threads = 1025; });
  refuse(MOX_INVALID_ARGUMENT, "isa", [](Options& o) { o.isa = static_cast<mox_isa>(6); });
  refuse(MOX_INVALID_ARGUMENT, "backend", [](Options& o) { o.backend = static_cast<mox_backend>(-1); });
  refuse(MOX_INVALID_ARGUMENT, "numerics", [](Options& o) { o.numerics = static_cast<mox_numerics>(2); });
  refuse(MOX_INVALID_ARGUMENT, "log_level", [](Options& o) { o.log_level = static_cast<mox_log_level>(3); });
  refuse(MOX_INVALID_ARGUMENT, "affinity is 4", [](Options& o) { o.affinity = static_cast<mox_affinity>(4); });
  refuse(MOX_INVALID_ARGUMENT, "cpus is '0-'", [](Options& o) { o.cpus = "0-"; });
  refuse(MOX_INVALID_ARGUMENT, "cpus is ''", [](Options& o) { o.cpus = ""; });
  refuse(MOX_INVALID_ARGUMENT, "CPU 65000 is not among those", [](Options& o) { o.cpus = "65000"; });
  refuse(MOX_INVALID_ARGUMENT, "threads is 1000, but affinity cores", [](Options& o) {
    o.affinity = MOX_AFFINITY_CORES;
    o.threads = 1000;
  });
  refuse(MOX_INVALID_ARGUMENT, "struct_size is 0", [](Options& o) { o.struct_size = 0; });
  refused(MOX_INVALID_ARGUMENT, "runtime is NULL", mox_runtime_create, nullptr, nullptr);
  mox_runtime_free(nullptr);
}

// Tests that say what the environment holds, whatever it held before.
class Environment : public testing::Test {
 protected:
  Environment() {
    for (auto& [name, value] : saved_) {
      const char* found = std::getenv(name);
      if (found != nullptr) value = found;
      unsetenv(name);
    }
  }
  ~Environment() override {
    for (const auto& [name, value] : saved_) {
      if (value) {
        setenv(name, value->c_str(), 1);
      } else {
        unsetenv(name);
      }
    }
  }

 private:
  std::vector<std::pair<const char*, std::optional<std::string>>> saved_{
      {"MOXIE_ISA", {}}, {"MOXIE_BACKEND", {}}, {"MOXIE_THREADS", {}}, {"MOXIE_AFFINITY", {}}, {"MOXIE_CPUS", {}}};
};

TEST_F(Environment, ALevelTheMachineLacks) {
  const Runtime runtime = make_runtime(1);
  mox_runtime_info info{};
  info.struct_size = sizeof(info);
  must(mox_runtime_describe, runtime.get(), &info);
  EXPECT_LE(info.isa, info.machine_isa);
  EXPECT_STREQ(info.kernel_bf16, mox_isa_name(info.isa)) << "the level in use is that of the kernels";
  EXPECT_EQ(info.threads, 1);
  for (int isa = info.machine_isa + 1; isa <= MOX_ISA_AMX; ++isa) {
    refuse(MOX_UNSUPPORTED, mox_isa_name(static_cast<mox_isa>(isa)),
           [&](mox_runtime_options& o) { o.isa = static_cast<mox_isa>(isa); });
  }
  for (int isa = MOX_ISA_PORTABLE; isa <= info.machine_isa; ++isa) {
    const Runtime lower = make_runtime(1, {static_cast<mox_isa>(isa), MOX_BACKEND_AUTO});
    mox_runtime_info found{};
    found.struct_size = sizeof(found);
    must(mox_runtime_describe, lower.get(), &found);
    EXPECT_EQ(found.isa, isa);
  }
}

TEST(RuntimeArguments, Describe) {
  const Runtime runtime = make_runtime(1);
  mox_runtime_info info{};
  refused(MOX_INVALID_ARGUMENT, "struct_size is 0", mox_runtime_describe, runtime.get(), &info);
  info.struct_size = sizeof(info);
  refused(MOX_INVALID_ARGUMENT, "runtime is NULL", mox_runtime_describe, nullptr, &info);
  refused(MOX_INVALID_ARGUMENT, "is NULL", mox_runtime_describe, runtime.get(), nullptr);
}

TEST_F(Environment, KernelTableEndsInTheReference) {
  const Runtime runtime = make_runtime(1);
  const char* name = nullptr;
  const char* reason = nullptr;
  size_t count = 0;
  std::string last;
  bool usable = false;
  while (mox_runtime_kernel(runtime.get(), count, &name, &reason, nullptr) == MOX_OK) {
    last = name;
    usable = usable || std::string(reason).empty();
    ++count;
  }
  EXPECT_GE(count, 2U);
  EXPECT_EQ(last, "reference");
  EXPECT_TRUE(usable);
  const char* untouched = "untouched";
  name = reason = untouched;
  refused(MOX_NOT_FOUND, std::to_string(count), mox_runtime_kernel, runtime.get(), count, &name, &reason);
  refused(MOX_INVALID_ARGUMENT, "runtime is NULL", mox_runtime_kernel, nullptr, size_t{0}, &name, &reason);
  EXPECT_EQ(name, untouched);
  EXPECT_EQ(reason, untouched);
}

TEST_F(Environment, IsTakenWhereTheOptionsLeaveAChoice) {
  setenv("MOXIE_ISA", "portable", 1);
  setenv("MOXIE_THREADS", "3", 1);
  setenv("MOXIE_BACKEND", "reference", 1);
  const auto described = [](const Runtime& runtime) {
    mox_runtime_info info{};
    info.struct_size = sizeof(info);
    must(mox_runtime_describe, runtime.get(), &info);
    return info;
  };
  const mox_runtime_info open = described(make_runtime(0));
  EXPECT_EQ(open.isa, MOX_ISA_PORTABLE);
  EXPECT_EQ(open.threads, 3);
  EXPECT_STREQ(open.kernel_f32, "reference");
  EXPECT_EQ(described(make_runtime(2)).threads, 2);
}

mox_runtime_info described(const mox_runtime_options* options) {
  mox_runtime* raw = nullptr;
  must(mox_runtime_create, options, &raw);
  const Runtime runtime(raw);
  mox_runtime_info info{};
  info.struct_size = sizeof(info);
  must(mox_runtime_describe, runtime.get(), &info);
  return info;
}

// A CPU this test may run on.
int one_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 0;
  int cpu = 0;
  while (CPU_ISSET(cpu, &set) == 0) ++cpu;
  return cpu;
}

TEST_F(Environment, ThreadsAreBoundWhereThatIsAskedFor) {
  const mox_runtime_info by_default = described(nullptr);
  EXPECT_EQ(by_default.affinity, MOX_AFFINITY_NONE);
  EXPECT_GE(by_default.cores, by_default.threads);  // a quota may have taken some
  EXPECT_GE(by_default.numa_nodes, 1);
  EXPECT_STRNE(by_default.cpus, "");

  const std::string cpu = std::to_string(one_cpu());
  mox_runtime_options options;
  mox_runtime_options_init(&options, sizeof(options));
  options.cpus = cpu.c_str();
  mox_runtime_info info = described(&options);
  EXPECT_EQ(info.affinity, MOX_AFFINITY_COMPACT);
  EXPECT_EQ(info.cpus, cpu);
  EXPECT_EQ(info.threads, 1);
  EXPECT_EQ(info.cores, 1);
  options.affinity = MOX_AFFINITY_NONE;
  options.threads = 3;
  info = described(&options);
  EXPECT_EQ(info.affinity, MOX_AFFINITY_NONE);
  EXPECT_EQ(info.threads, 3);

  setenv("MOXIE_CPUS", cpu.c_str(), 1);
  EXPECT_EQ(described(nullptr).cpus, cpu);
  EXPECT_EQ(described(nullptr).affinity, MOX_AFFINITY_COMPACT);
  setenv("MOXIE_AFFINITY", "cores", 1);
  EXPECT_EQ(described(nullptr).affinity, MOX_AFFINITY_CORES);
  options.cpus = nullptr;
  EXPECT_EQ(described(&options).affinity, MOX_AFFINITY_NONE);
  setenv("MOXIE_CPUS", "0-x", 1);
  refuse(MOX_INVALID_ARGUMENT, "cpus is '0-x'", [](mox_runtime_options&) {});
}

// A program compiled before there was affinity.
TEST_F(Environment, AnOlderCallerIsNotAskedAboutAffinity) {
  mox_runtime_options options;
  std::memset(&options, 0x5a, sizeof(options));
  mox_runtime_options_init(&options, offsetof(mox_runtime_options, affinity));
  options.threads = 1;
  mox_runtime* raw = nullptr;
  must(mox_runtime_create, &options, &raw);
  const Runtime runtime(raw);
  mox_runtime_info info;
  std::memset(&info, 0x5a, sizeof(info));
  info.struct_size = offsetof(mox_runtime_info, affinity);
  must(mox_runtime_describe, runtime.get(), &info);
  EXPECT_EQ(info.threads, 1);
  EXPECT_EQ(info.cpus[0], 0x5a);
}

TEST_F(Environment, UnknownValuesAreNamed) {
  for (const char* name : {"MOXIE_ISA", "MOXIE_BACKEND", "MOXIE_THREADS", "MOXIE_AFFINITY"}) {
    setenv(name, "sse9", 1);
    refuse(MOX_INVALID_ARGUMENT, name, [](mox_runtime_options&) {});
    refuse(MOX_INVALID_ARGUMENT, "sse9", [](mox_runtime_options&) {});
    unsetenv(name);
  }
  for (const char* threads : {"0x", "-1", "1025", "99999999999999999999"}) {
    setenv("MOXIE_THREADS", threads, 1);
    refuse(MOX_INVALID_ARGUMENT, "MOXIE_THREADS", [](mox_runtime_options&) {});
  }
}

TEST(Names, AreNeverNull) {
  for (int value = -2; value < 40; ++value) {
    EXPECT_STRNE(mox_status_name(static_cast<mox_status>(value)), nullptr);
    EXPECT_STRNE(mox_dtype_name(static_cast<mox_dtype>(value)), nullptr);
    EXPECT_STRNE(mox_isa_name(static_cast<mox_isa>(value)), nullptr);
    EXPECT_STRNE(mox_backend_name(static_cast<mox_backend>(value)), nullptr);
    EXPECT_STRNE(mox_affinity_name(static_cast<mox_affinity>(value)), nullptr);
    EXPECT_STRNE(mox_adapter_kind_name(static_cast<mox_adapter_kind>(value)), nullptr);
  }
  EXPECT_STREQ(mox_status_name(MOX_INVALID_ARGUMENT), "invalid argument");
  EXPECT_STREQ(mox_dtype_name(MOX_BF16), "bfloat16");
  EXPECT_STREQ(mox_isa_name(MOX_ISA_AVX512_BF16), "avx512_bf16");
  EXPECT_STREQ(mox_backend_name(MOX_BACKEND_ONEDNN), "onednn");
  EXPECT_STREQ(mox_adapter_kind_name(MOX_ADAPTER_MIXLORA_DYNAMIC), "mixlora-dynamic");
  std::set<std::string> different;
  for (int value = MOX_OK; value <= MOX_INTERNAL; ++value)
    different.insert(mox_status_name(static_cast<mox_status>(value)));
  EXPECT_EQ(different.size(), 9U);
  EXPECT_EQ(mox_dtype_size(MOX_BF16), 2U);
  EXPECT_EQ(mox_dtype_size(MOX_F64), 8U);
  EXPECT_EQ(mox_dtype_size(static_cast<mox_dtype>(10)), 0U);
  EXPECT_THAT(mox_version(), testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

TEST(Messages, AreCutAtACharacterBoundary) {
  const Runtime runtime = make_runtime(1);
  std::string folder = "/no/such/";
  while (folder.size() < 3000) folder += "\xc3\xa9";  // an e with an acute accent
  for (int shift = 0; shift < 2; ++shift, folder.insert(0, "/")) {
    mox_error error;
    std::memset(&error, 0x7f, sizeof(error));
    mox_model* out = nullptr;
    EXPECT_NE(mox_model_open(runtime.get(), folder.c_str(), nullptr, &out, &error), MOX_OK);
    const size_t length = strnlen(error.message, sizeof(error.message));
    ASSERT_LT(length, sizeof(error.message));
    ASSERT_GT(length, 0U);
    EXPECT_NE(static_cast<unsigned char>(error.message[length - 1]), 0xc3);
  }
}

TEST(FileArguments, NullsAndIndices) {
  mox_file* out = untouched_handle<mox_file>();
  refused(MOX_INVALID_ARGUMENT, "path is NULL", mox_file_open, nullptr, &out);
  refused(MOX_INVALID_ARGUMENT, "file is NULL", mox_file_open, "/", nullptr);
  refused(MOX_NOT_FOUND, "/no/such/file", mox_file_open, "/no/such/file", &out);
  EXPECT_EQ(out, untouched_handle<mox_file>());
  mox_file* raw = nullptr;
  must(mox_file_open, parity_base("llama-h48-float32").c_str(), &raw);
  const File file(raw);
  mox_file_info info{};
  refused(MOX_INVALID_ARGUMENT, "struct_size is 0", mox_file_describe, file.get(), &info);
  info.struct_size = sizeof(info);
  must(mox_file_describe, file.get(), &info);
  EXPECT_EQ(info.kind, MOX_FILE_CHECKPOINT);
  EXPECT_EQ(info.problems, 0);
  ASSERT_GT(info.tensors, 0);
  mox_tensor_info tensor{};
  tensor.struct_size = sizeof(tensor);
  for (const int64_t index : {int64_t{-1}, info.tensors}) {
    mox_error error{};
    EXPECT_NE(mox_file_tensor(file.get(), index, &tensor, &error), MOX_OK);
    EXPECT_THAT(error.message, HasSubstr(std::to_string(index)));
  }
  EXPECT_EQ(tensor.name, nullptr);
  const char* text = nullptr;
  EXPECT_NE(mox_file_problem(file.get(), 0, &text, nullptr), MOX_OK);
  EXPECT_EQ(text, nullptr);
  int64_t index = -7;
  refused(MOX_NOT_FOUND, "no.such.tensor", mox_file_find_tensor, file.get(), "no.such.tensor", &index);
  refused(MOX_INVALID_ARGUMENT, "name is NULL", mox_file_find_tensor, file.get(), nullptr, &index);
  EXPECT_EQ(index, -7);
  must(mox_file_tensor, file.get(), 0, &tensor);
  std::vector<uint8_t> bytes(static_cast<size_t>(tensor.bytes) + 1, 0xaa);
  for (const int64_t size : {tensor.bytes - 1, tensor.bytes + 1}) {
    refused(MOX_INVALID_ARGUMENT, std::to_string(size), mox_file_read_tensor, file.get(), 0, bytes.data(),
            static_cast<size_t>(size));
  }
  EXPECT_EQ(bytes, std::vector<uint8_t>(bytes.size(), 0xaa));
  mox_file_free(nullptr);
}

}  // namespace
}  // namespace api_test
