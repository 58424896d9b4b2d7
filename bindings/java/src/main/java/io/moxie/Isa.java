package io.moxie;

import io.moxie.internal.Memory;
import io.moxie.internal.NativeLibrary;
import io.moxie.internal.mox_isa;
import io.moxie.internal.raw;

/** Instruction-set level of the kernels, lowest to highest. */
public enum Isa {
  /** The highest the machine has, or one below that is quicker there. */
  BEST(mox_isa.MOX_ISA_BEST),
  /** Any x86-64. */
  PORTABLE(mox_isa.MOX_ISA_PORTABLE),
  /** AVX2 and FMA. */
  AVX2(mox_isa.MOX_ISA_AVX2),
  /** AVX-512 F, BW, DQ, VL. */
  AVX512(mox_isa.MOX_ISA_AVX512),
  /** AVX-512 with bfloat16 products. */
  AVX512_BF16(mox_isa.MOX_ISA_AVX512_BF16),
  /** AMX tiles with bfloat16 products. */
  AMX(mox_isa.MOX_ISA_AMX);

  private final int code;

  Isa(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static Isa of(int code) {
    for (Isa value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_isa " + code + ", which this version does not know");
  }

  /**
   * Returns the library's own name for it.
   *
   * @return the name, as messages and environment variables have it
   */
  public String label() {
    NativeLibrary.require();
    return Memory.text(raw.mox_isa_name(code));
  }
}
