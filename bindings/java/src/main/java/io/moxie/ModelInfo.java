package io.moxie;

/**
 * What a {@link Model} is.
 *
 * @param family "llama", "mistral", "mixtral", "mistral-consolidated"
 * @param hidden width of hidden states
 * @param ffn inner width of the feed-forwards
 * @param vocabulary number of token ids, and of logits
 * @param maxPositions positions it was made for; 0: not stated
 * @param layers transformer blocks
 * @param heads attention heads
 * @param kvHeads heads of keys and values
 * @param headDim width of a head
 * @param experts experts of a layer; 0: dense
 * @param topK experts per row
 * @param parameters numbers in it
 * @param weightBytes bytes of the weights, as held
 * @param weights element type of the linears, as held
 * @param bosToken id that begins a sequence; -1: not stated
 * @param eosToken id that ends a sequence; -1: not stated, or several
 */
public record ModelInfo(
    String family,
    int hidden,
    int ffn,
    int vocabulary,
    long maxPositions,
    int layers,
    int heads,
    int kvHeads,
    int headDim,
    int experts,
    int topK,
    long parameters,
    long weightBytes,
    DType weights,
    int bosToken,
    int eosToken) {}
