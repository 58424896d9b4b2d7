#include "cli/loaded_model.h"

#include "cli/failure.h"

namespace moxie::cli {

void add_model_options(CLI::App& command, ModelOptions& options) {
  command.add_option("--model", options.folder, "The base model's folder")->required()->type_name("DIR");
  command.add_option("--adapter", options.adapters, "An adapter over it and what to call it; repeat it for more")
      ->type_name("NAME=DIR")
      ->allow_extra_args(false);
  add_weights_option(command, options.weights);
  auto* cache =
      command
          .add_option("--packed-cache", options.packed_cache,
                      "Keep packed weights in this file or folder for the next start; 'auto': beside the model")
          ->type_name("auto|PATH");
  command.add_flag("--map-packed-cache", options.map_packed_cache, "Map the packed cache, so that processes share it")
      ->needs(cache);
  add_storage_option(command, options.storage);
}

const NamedAdapter* LoadedModel::find(const std::string& name) const {
  for (const auto& adapter : adapters) {
    if (adapter.name == name) return &adapter;
  }
  return nullptr;
}

void add_kv_option(CLI::App& command, std::string& kv) {
  kv = "f32";
  command.add_option("--kv", kv, "How sequences hold keys and values: bf16 takes half the memory")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
}

Sequence make_sequence(const LoadedModel& loaded, const std::string& kv) {
  auto options = defaults(mox_sequence_options_init);
  options.kv = kv == "bf16" ? MOX_BF16 : MOX_F32;
  return make<Sequence>(mox_sequence_create, loaded.model.get(), &options);
}

LoadedModel load_model(const CommonOptions& common, const ModelOptions& options) {
  std::vector<std::pair<std::string, std::string>> named;
  for (const auto& given : options.adapters) {
    const auto equals = given.find('=');
    const auto name = given.substr(0, equals);
    if (equals == std::string::npos || name.empty() || equals + 1 == given.size()) {
      throw UsageError("--adapter takes NAME=DIR, not '" + given + "'");
    }
    if (name == "base") throw UsageError("--adapter: the name 'base' means the plain base, choose another");
    if (name.find(':') != std::string::npos)
      throw UsageError("--adapter: the name '" + name + "' must not hold a colon");
    for (const auto& [other, folder] : named) {
      if (other == name) throw UsageError("--adapter: the name '" + name + "' was given twice");
    }
    named.emplace_back(name, given.substr(equals + 1));
  }

  LoadedModel loaded;
  loaded.runtime = open_runtime(common);
  auto load = defaults(mox_load_options_init);
  load.weights = weights_called(options.weights);
  load.storage = storage_called(options.storage);
  if (!options.packed_cache.empty()) {
    load.packed_cache = MOX_PACKED_CACHE_READ_WRITE;
    load.map_packed_cache = options.map_packed_cache ? 1 : 0;
    if (options.packed_cache != "auto") load.packed_cache_path = options.packed_cache.c_str();
  }
  loaded.model = make<Model>(mox_model_open, loaded.runtime.get(), options.folder.c_str(), &load);
  loaded.info = describe<mox_model_info>(mox_model_describe, loaded.model);
  for (const auto& [name, folder] : named) {
    loaded.adapters.push_back({name, make<Adapter>(mox_adapter_open, loaded.model.get(), folder.c_str())});
  }
  return loaded;
}

}  // namespace moxie::cli
