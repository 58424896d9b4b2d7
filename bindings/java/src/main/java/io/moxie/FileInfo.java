package io.moxie;

/**
 * What a {@link MoxieFile} is.
 *
 * @param kind what was found
 * @param family checkpoint: "llama", ...; adapter: "mixlora", ...; else empty
 * @param format "Hugging Face", "MoE-PEFT", "safetensors", ...
 * @param tensors number of tensors
 * @param parameters numbers in them
 * @param bytes their bytes
 * @param problems number of reasons why it would be refused
 */
public record FileInfo(
    FileKind kind, String family, String format, int tensors, long parameters, long bytes, int problems) {}
