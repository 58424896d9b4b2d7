package io.moxie;

/**
 * What an {@link Adapter} is.
 *
 * @param kind what kind of adapter
 * @param name the folder's name, or the description's
 * @param experts experts; 0 without
 * @param topK experts per row
 * @param rank rank of the experts, or of the plain factors
 * @param dora whether magnitudes rescale outputs
 * @param parameters numbers in it
 * @param bytes bytes, as held
 */
public record AdapterInfo(
    AdapterKind kind, String name, int experts, int topK, int rank, boolean dora, long parameters, long bytes) {}
