package io.moxie;

/**
 * What a {@link Sequence} holds.
 *
 * @param length tokens
 * @param firstPosition position of the first token
 * @param kv how keys and values are held
 * @param kvBytes memory of keys and values; what forks share counts in each
 */
public record SequenceInfo(long length, long firstPosition, DType kv, long kvBytes) {}
