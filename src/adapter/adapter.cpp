#include "adapter/adapter.h"

namespace moxie::adapter {

const char* kind_name(mox_adapter_kind kind) {
  switch (kind) {
    case MOX_ADAPTER_LORA:
      return "lora";
    case MOX_ADAPTER_MIXLORA:
      return "mixlora";
    case MOX_ADAPTER_MIXLORA_DYNAMIC:
      return "mixlora-dynamic";
    case MOX_ADAPTER_MIXLORA_SWITCH:
      return "mixlora-switch";
    case MOX_ADAPTER_LORAMOE:
      return "loramoe";
    case MOX_ADAPTER_MOLA:
      return "mola";
  }
  return "unknown";
}

bool is_mixlora(mox_adapter_kind kind) {
  return kind == MOX_ADAPTER_MIXLORA || kind == MOX_ADAPTER_MIXLORA_DYNAMIC || kind == MOX_ADAPTER_MIXLORA_SWITCH;
}

mox_router_kind router_kind_of(mox_adapter_kind kind) {
  switch (kind) {
    case MOX_ADAPTER_MIXLORA_DYNAMIC:
      return MOX_ROUTER_DYNAMIC;
    case MOX_ADAPTER_MIXLORA_SWITCH:
      return MOX_ROUTER_SWITCH;
    case MOX_ADAPTER_LORAMOE:
      return MOX_ROUTER_LORAMOE;
    case MOX_ADAPTER_MOLA:
      return MOX_ROUTER_MOLA;
    case MOX_ADAPTER_LORA:
    case MOX_ADAPTER_MIXLORA:
      break;
  }
  return MOX_ROUTER_MIXLORA;
}

void Router::set_gate(const std::vector<float>& rows) {
  gate = kernels::FactorBank(MOX_F32, 1, 1, experts, in);
  gate.pack(0, 0, experts, 0, in, rows.data(), in);
}

const float* Router::gate_row(int64_t expert) const {
  return static_cast<const float*>(gate.panels_of(0, expert, expert + 1).first);
}

int32_t Router::places() const {
  switch (kind) {
    case MOX_ROUTER_TOP_K:
    case MOX_ROUTER_MIXLORA:
    case MOX_ROUTER_MOLA:
      return top_k;
    case MOX_ROUTER_SWITCH:
      return 1;
    case MOX_ROUTER_DYNAMIC:
    case MOX_ROUTER_LORAMOE:
      return experts;
  }
  return experts;
}

}  // namespace moxie::adapter
