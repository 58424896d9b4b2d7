#include "checkpoint/adapter_tensors.h"

#include <filesystem>

#include "checkpoint/checkpoints.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

using test::expect_refusal;

const test::Tensors tensors = {{"a.lora_A.weight", {2, 3}}};

TEST(AdapterTensors, AreInWhicheverFileIsThere) {
  const test::TemporaryFolder folder;
  for (const char* name : {"adapter_model.safetensors", "lora.safetensors"}) {
    folder.write(name, test::zero_safetensors(tensors));
    EXPECT_EQ(open_adapter_tensors(folder.path())->entries()[0].file, name);
    std::filesystem::remove(folder.file(name));
  }
  test::write_zero_archive(folder, tensors, "adapter_model.bin");
  const auto source = open_adapter_tensors(folder.path());
  EXPECT_EQ(source->entries()[0].file, "adapter_model.bin");
  EXPECT_EQ(source->path(), folder.file("adapter_model.bin"));
  folder.write("adapter_model.safetensors", test::zero_safetensors(tensors));
  expect_refusal(MOX_INVALID_FILE, {folder.path(), "both adapter_model.safetensors and adapter_model.bin"},
                 [&] { (void)open_adapter_tensors(folder.path()); });
}

TEST(AdapterTensors, AreMissedByName) {
  const test::TemporaryFolder folder;
  expect_refusal(MOX_NOT_FOUND, {folder.path(), "adapter_model.safetensors, adapter_model.bin or lora.safetensors"},
                 [&] { (void)open_adapter_tensors(folder.path()); });
  expect_refusal(MOX_NOT_FOUND, {"/nonexistent/adapter", "no such folder"},
                 [] { (void)open_adapter_tensors("/nonexistent/adapter"); });
}

TEST(AdapterTensors, StayInTheFolder) {
  const test::TemporaryFolder folder, elsewhere;
  folder.link("adapter_model.safetensors", elsewhere.write("x", test::zero_safetensors(tensors)));
  expect_refusal(MOX_INVALID_FILE, {folder.file("adapter_model.safetensors"), "outside of the folder"},
                 [&] { (void)open_adapter_tensors(folder.path()); });
}

TEST(AdapterFolder, IsKnownByItsFiles) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(is_adapter_folder(folder.path()));
  folder.write("lora.safetensors", "");
  EXPECT_TRUE(is_adapter_folder(folder.path()));
  folder.write("consolidated.safetensors", "");
  EXPECT_FALSE(is_adapter_folder(folder.path()));
  folder.write("adapter_config.json", "");
  EXPECT_TRUE(is_adapter_folder(folder.path()));
}

}  // namespace
}  // namespace moxie::checkpoint
