// A model and the adapters a command was given.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/common_options.h"
#include "cli/handles.h"

namespace moxie::cli {

struct ModelOptions {
  std::string folder;
  std::vector<std::string> adapters;  // NAME=DIR
  std::string weights;
  std::string packed_cache;  // "": none, "auto": beside the checkpoint, else a file or folder
  bool map_packed_cache = false;
  std::string storage;
};

// --model, --adapter, --weights, --packed-cache, --map-packed-cache and --storage.
void add_model_options(CLI::App& command, ModelOptions& options);

struct NamedAdapter {
  std::string name;
  Adapter handle;
};

struct LoadedModel {
  Runtime runtime;
  Model model;
  mox_model_info info{};
  std::vector<NamedAdapter> adapters;

  // NULL where there is none of that name.
  const NamedAdapter* find(const std::string& name) const;
};

// --kv.
void add_kv_option(CLI::App& command, std::string& kv);

// A sequence whose keys and values are held as --kv says.
Sequence make_sequence(const LoadedModel& loaded, const std::string& kv);

LoadedModel load_model(const CommonOptions& common, const ModelOptions& options);

}  // namespace moxie::cli
