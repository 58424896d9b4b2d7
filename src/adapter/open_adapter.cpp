#include "adapter/open_adapter.h"

#include <filesystem>
#include <memory>

#include "adapter/adapter_config.h"
#include "adapter/adapter_reader.h"
#include "adapter/factors.h"
#include "checkpoint/adapter_tensors.h"
#include "runtime/error.h"

namespace moxie::adapter {
namespace {

// The last component of the path, also where it ends in a separator or in dots.
std::string folder_name(const std::string& folder) {
  std::error_code ignored;
  const auto path = std::filesystem::absolute(folder, ignored).lexically_normal();
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

}  // namespace

Adapter open_adapter(const std::string& folder, const BaseLinears& base) {
  if (base.only_layer >= 0 && base.layer_count >= 0 && base.only_layer >= base.layer_count) {
    throw invalid_argument("layer " + std::to_string(base.only_layer) + " of a base of " +
                           std::to_string(base.layer_count) + " layers");
  }
  const AdapterConfig config = read_adapter_config(folder);
  const std::unique_ptr<checkpoint::TensorSource> tensors = checkpoint::open_adapter_tensors(folder);

  Adapter adapter;
  adapter.name = folder_name(folder);
  adapter.kind = config.kind;
  adapter.experts = config.expert_count;
  adapter.top_k = config.top_k;
  adapter.rank = config.experts.rank;
  AdapterReader(config, *tensors, base).read(&adapter);
  gather(&adapter);
  adapter.bytes = bytes_of(adapter);
  adapter.has_router_loss = config.router_loss;
  adapter.router_kind = router_kind_of(config.kind);
  adapter.top_p = static_cast<float>(config.top_p);
  adapter.temperature = static_cast<float>(config.temperature);
  adapter.capacity = config.capacity;
  adapter.balance_coefficient = config.balance_coefficient;
  adapter.z_coefficient = config.z_coefficient;
  return adapter;
}

}  // namespace moxie::adapter
