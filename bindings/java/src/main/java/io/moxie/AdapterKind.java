package io.moxie;

import io.moxie.internal.Memory;
import io.moxie.internal.NativeLibrary;
import io.moxie.internal.mox_adapter_kind;
import io.moxie.internal.raw;

/** What kind of adapter it is. */
public enum AdapterKind {
  /** LoRA, rsLoRA (by the scaling), DoRA (by the magnitudes). */
  LORA(mox_adapter_kind.MOX_ADAPTER_LORA),
  /** MixLoRA with a top-k router. */
  MIXLORA(mox_adapter_kind.MOX_ADAPTER_MIXLORA),
  /** MixLoRA with a top-p router. */
  MIXLORA_DYNAMIC(mox_adapter_kind.MOX_ADAPTER_MIXLORA_DYNAMIC),
  /** MixLoRA with a switch router. */
  MIXLORA_SWITCH(mox_adapter_kind.MOX_ADAPTER_MIXLORA_SWITCH),
  /** LoRAMoE. */
  LORAMOE(mox_adapter_kind.MOX_ADAPTER_LORAMOE),
  /** MoLA. */
  MOLA(mox_adapter_kind.MOX_ADAPTER_MOLA);

  private final int code;

  AdapterKind(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static AdapterKind of(int code) {
    for (AdapterKind value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_adapter_kind " + code + ", which this version does not know");
  }

  /**
   * Returns the library's own name for it.
   *
   * @return the name, as messages and environment variables have it
   */
  public String label() {
    NativeLibrary.require();
    return Memory.text(raw.mox_adapter_kind_name(code));
  }
}
