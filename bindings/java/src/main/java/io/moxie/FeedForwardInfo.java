package io.moxie;

/**
 * What a {@link FeedForward} is.
 *
 * @param kind what it is made of
 * @param hidden width of its rows
 * @param ffn inner width
 * @param activation the activation
 * @param experts experts; 1 for the dense kinds
 * @param topK experts per row; 0 for the dense kinds
 * @param weights element type of the weights, as held
 * @param weightBytes bytes of the weights, packed
 * @param compactBytes bytes of them that are held compact
 */
public record FeedForwardInfo(
    FeedForwardKind kind,
    int hidden,
    int ffn,
    Activation activation,
    int experts,
    int topK,
    DType weights,
    long weightBytes,
    long compactBytes) {}
