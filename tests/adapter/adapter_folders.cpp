#include "adapter_folders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "checkpoint/safetensors.h"

namespace moxie::test {
namespace {

using adapter::BaseLayer;
using adapter::BaseLinear;

struct Member {
  const char* name;
  BaseLinear BaseLayer::*member;
};

const std::vector<Member> gated_members = {
    {"self_attn.q_proj", &BaseLayer::q}, {"self_attn.k_proj", &BaseLayer::k}, {"self_attn.v_proj", &BaseLayer::v},
    {"self_attn.o_proj", &BaseLayer::o}, {"mlp.gate_proj", &BaseLayer::gate}, {"mlp.up_proj", &BaseLayer::up},
    {"mlp.down_proj", &BaseLayer::down},
};

BaseLinear hold(Base* base, int64_t out, int64_t in, const std::vector<float>& values) {
  auto matrix = std::make_unique<kernels::PackedMatrix>(MOX_F32, out, in);
  matrix->pack_rows(0, out, values.data(), MOX_F32, in);
  base->weights.push_back(std::move(matrix));
  return {in, out, base->weights.back().get()};
}

uint16_t to_float16(float value) {
  // Exact for the few values the tests store so: normal numbers with short mantissas.
  const auto bits = std::bit_cast<uint32_t>(value);
  if (value == 0) return 0;
  const auto exponent = static_cast<int32_t>((bits >> 23) & 0xff) - 127 + 15;
  return static_cast<uint16_t>(((bits >> 16) & 0x8000U) | (static_cast<uint32_t>(exponent) << 10) |
                               ((bits >> 13) & 0x3ffU));
}

void append(const StoredTensor& tensor, std::string* data) {
  const auto put = [data](const void* from, size_t size) { data->append(static_cast<const char*>(from), size); };
  for (const float value : tensor.values) {
    const uint16_t half = tensor.dtype == "F16" ? to_float16(value) : round_to_bfloat16(value);
    const auto wide = static_cast<double>(value);
    if (tensor.dtype == "F32") put(&value, 4);
    if (tensor.dtype == "F64") put(&wide, 8);
    if (tensor.dtype == "F16" || tensor.dtype == "BF16") put(&half, 2);
  }
}

}  // namespace

Base parity_base(const std::string& name) {
  const std::string folder = std::string(MOXIE_TEST_DATA) + "/parity/bases/" + name;
  const auto tensors = checkpoint::open_safetensors(folder + "/model.safetensors");
  checkpoint::TensorReader reader(*tensors);
  Base base;
  base.linears.family = "llama";
  base.linears.norms = {kernels::choose(MOX_ISA_BEST, MOX_BACKEND_AUTO).small, 2};
  for (int64_t layer = 0;; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    if (!reader.has(prefix + "mlp.gate_proj.weight")) break;
    BaseLayer sizes;
    for (const Member& member : gated_members) {
      const std::string weight = prefix + member.name + ".weight";
      const auto& shape = tensors->entries()[static_cast<size_t>(tensors->find(weight))].shape;
      sizes.*member.member = hold(&base, shape[0], shape[1], reader.read_float32(weight, shape));
    }
    base.linears.layers.push_back(sizes);
  }
  base.linears.layer_count = static_cast<int64_t>(base.linears.layers.size());
  base.linears.hidden = base.linears.layers.at(0).gate.in;
  return base;
}

std::string parity_adapter(const std::string& name) {
  return std::string(MOXIE_TEST_DATA) + "/parity/adapters/" + name;
}

Base small_base(bool gated) {
  Base base;
  base.linears.norms = {kernels::choose(MOX_ISA_BEST, MOX_BACKEND_AUTO).small, 2};
  base.linears.family = gated ? "llama" : "phi";
  base.linears.hidden = 8;
  base.linears.gated = gated;
  base.linears.layer_count = 2;
  for (int64_t layer = 0; layer < 2; ++layer) {
    const auto linear = [&](const std::string& name, int64_t out, int64_t in) {
      return hold(&base, out, in, repeatable_values(name + std::to_string(layer), out * in));
    };
    BaseLayer sizes;
    sizes.q = linear("q", 8, 8);
    sizes.k = linear("k", 4, 8);
    sizes.v = linear("v", 4, 8);
    sizes.o = linear("o", 8, 8);
    sizes.gate = linear("gate", 12, 8);
    if (gated) sizes.up = linear("up", 12, 8);
    sizes.down = linear("down", 8, 12);
    base.linears.layers.push_back(sizes);
  }
  return base;
}

Base small_bank() {
  Base base = small_base();
  base.linears.family = "mixtral";
  base.linears.bank_of_experts = true;
  for (BaseLayer& layer : base.linears.layers) layer.gate = layer.up = layer.down = {};
  return base;
}

void keep_only_feed_forward(Base* base, int64_t layer) {
  BaseLayer kept = base->linears.layers.at(static_cast<size_t>(layer));
  for (BaseLinear* linear : {&kept.q, &kept.k, &kept.v, &kept.o}) linear->weight = nullptr;
  base->linears.layers = {kept};
  base->linears.only_layer = layer;
}

AdapterFolder::AdapterFolder(const std::string& peft_type, const std::string& routing_strategy,
                             const std::vector<std::string>& targets) {
  static std::atomic<int> count{0};
  folder_ = std::filesystem::temp_directory_path() /
            ("moxie-adapter-" + std::to_string(getpid()) + "-" + std::to_string(count++));
  std::filesystem::create_directories(folder_);
  config = {{"peft_type", peft_type},   {"r", 2},         {"lora_alpha", 4},
            {"lora_dropout", 0.05},     {"bias", "none"}, {"task_type", "CAUSAL_LM"},
            {"target_modules", targets}};
  const bool experts = peft_type != "LORA";
  if (experts) config.update({{"routing_strategy", routing_strategy}, {"num_experts", 3}});

  const std::string root = peft_type == "LORA"      ? "base_model.model.model"
                           : peft_type == "MIXLORA" ? "mixlora"
                           : peft_type == "LORAMOE" ? "loramoe"
                                                    : "mola";
  const Base base = small_base();
  for (int layer = 0; layer < 2; ++layer) {
    const std::string prefix = root + ".layers." + std::to_string(layer) + ".";
    if (peft_type == "MIXLORA") add(prefix + "mlp.moe_gate.weight", {3, 8});
    for (const Member& member : gated_members) {
      const std::string name = member.name;
      const bool attention = name.starts_with("self_attn.");
      const std::string proj = name.substr(name.find('.') + 1);
      if (std::find(targets.begin(), targets.end(), proj) == targets.end()) continue;
      const BaseLinear& linear = base.linears.layers[0].*member.member;
      const bool plugged_in = peft_type == "MOLA" || (peft_type == "LORAMOE" && !attention);
      if (plugged_in) add(prefix + name + ".moe_gate.weight", {3, linear.in});
      if (!plugged_in && (peft_type != "MIXLORA" || attention)) {
        add_pair(prefix + name, linear.in, linear.out);
        continue;
      }
      for (int expert = 0; expert < 3; ++expert) {
        add_pair(prefix + name + ".experts." + std::to_string(expert), linear.in, linear.out);
      }
    }
  }
}

AdapterFolder::~AdapterFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

StoredTensor& AdapterFolder::add(const std::string& name, const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return tensors[name] = {"F32", shape, repeatable_values(name, count)};
}

void AdapterFolder::add_pair(const std::string& prefix, int64_t in, int64_t out) {
  add(prefix + ".lora_A.weight", {2, in});
  add(prefix + ".lora_B.weight", {out, 2});
}

std::string AdapterFolder::write() const {
  std::ofstream(folder_ / "adapter_config.json") << config.dump(2);
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    append(tensor, &data);
    header[name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t size = text.size();
  std::ofstream file(folder_ / "adapter_model.safetensors", std::ios::binary);
  file.write(reinterpret_cast<const char*>(&size), 8);
  file << text << data;
  return folder_.string();
}

std::vector<float> repeatable_values(const std::string& seed, int64_t count) {
  uint64_t state = 1469598103934665603U;
  for (const char letter : seed) state = (state ^ static_cast<unsigned char>(letter)) * 1099511628211U;
  std::vector<float> values;
  for (int64_t index = 0; index < count; ++index) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    values.push_back(static_cast<float>(state >> 40) * 0x1p-24F - 0.5F);
  }
  return values;
}

std::vector<float> unpacked(const kernels::PackedMatrix& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.n() * matrix.k()));
  for (int64_t row = 0; row < matrix.n(); ++row) matrix.read_row(row, values.data() + row * matrix.k());
  return values;
}

std::vector<float> unpacked(const kernels::FactorBank& bank, int64_t set) {
  std::vector<float> values(static_cast<size_t>(bank.n() * bank.k()));
  for (int64_t row = 0; row < bank.n(); ++row) bank.read_row(set, row, values.data() + row * bank.k());
  return values;
}

void expect_refusal(const std::function<void()>& action, mox_status status, const std::vector<std::string>& parts) {
  try {
    action();
    ADD_FAILURE() << "was accepted; expected a refusal that mentions " << testing::PrintToString(parts);
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), status) << error.what();
    for (const std::string& part : parts) EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

}  // namespace moxie::test
