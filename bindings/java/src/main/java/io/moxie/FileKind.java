package io.moxie;

import io.moxie.internal.mox_file_kind;

/** What was found at a path. */
public enum FileKind {
  /** A single tensor file. */
  TENSORS(mox_file_kind.MOX_FILE_TENSORS),
  /** A base model. */
  CHECKPOINT(mox_file_kind.MOX_FILE_CHECKPOINT),
  /** An adapter. */
  ADAPTER(mox_file_kind.MOX_FILE_ADAPTER);

  private final int code;

  FileKind(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }

  static FileKind of(int code) {
    for (FileKind value : values()) {
      if (value.code == code) {
        return value;
      }
    }
    throw new InternalException("the library answered with mox_file_kind " + code + ", which this version does not know");
  }
}
