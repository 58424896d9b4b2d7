package io.moxie;

import java.util.Arrays;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.PrimitiveIterator;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;

/**
 * Generates tokens for one sequence, one for each call of {@link #nextInt}: as an iterator, as a {@link #stream}, or to a
 * callback with {@link #forEach}.
 *
 * <pre>{@code
 * Generation generation = Generation.of(model, sequence, 100, prompt).under(adapter);
 * generation.forEach(token -> System.out.print(text(token)));
 * }</pre>
 *
 * <p>It ends at an end token, which is not given out, at its limit, or when it is cancelled; {@link #finishReason} tells
 * which. The sequence then holds the prompt and all tokens given out but the last, which has not been stepped yet: begin
 * the next prompt with it to go on. Sequence, adapter and sampler stay the caller's.
 *
 * <p>For one thread; {@link #cancel} may be called by any.
 */
public final class Generation implements PrimitiveIterator.OfInt {
  /** Why a generation ended. */
  public enum FinishReason {
    /** An end token was chosen. */
    END_TOKEN,
    /** As many tokens were given out as were asked for. */
    LIMIT,
    /** It was cancelled. */
    CANCELLED
  }

  private final Model model;
  private final Sequence sequence;
  private final int limit;
  private final Matrix logits;
  private Adapter adapter;
  private Sampler sampler;
  private Sampler own;
  private int[] endTokens;
  private int[] pending;
  private int given;
  private int next;
  private boolean hasNext;
  private boolean started;
  private FinishReason reason;
  private volatile boolean cancelled;

  private Generation(Model model, Sequence sequence, int limit, int[] prompt) {
    this.model = Objects.requireNonNull(model, "model");
    this.sequence = Objects.requireNonNull(sequence, "sequence");
    this.limit = limit;
    pending = prompt.clone();
    ModelInfo info = model.describe();
    endTokens = info.eosToken() < 0 ? new int[0] : new int[] {info.eosToken()};
    logits = Matrix.allocate(DType.F32, 1, info.vocabulary());
  }

  /**
   * Prepares a generation on the plain base that takes the likeliest token, and ends at the model's end token where it
   * states one. Nothing is computed before the first token is asked for.
   *
   * @param model the model
   * @param sequence what was said so far; may be empty
   * @param limit tokens to give out at most
   * @param prompt token ids that come before, one or more; the whole prompt is one step
   * @return the generation
   */
  public static Generation of(Model model, Sequence sequence, int limit, int... prompt) {
    if (limit < 0) {
      throw new InvalidArgumentException("limit is " + limit + "; expected 0 or more");
    }
    return new Generation(model, sequence, limit, prompt);
  }

  /**
   * Sets the adapter.
   *
   * @param adapter an adapter over the model; null: the plain base
   * @return this
   * @throws IllegalStateException after the first token
   */
  public Generation under(Adapter adapter) {
    checkNotStarted();
    this.adapter = adapter;
    return this;
  }

  /**
   * Sets who chooses the tokens.
   *
   * @param sampler a sampler, which stays the caller's
   * @return this
   * @throws IllegalStateException after the first token
   */
  public Generation sampler(Sampler sampler) {
    checkNotStarted();
    this.sampler = Objects.requireNonNull(sampler, "sampler");
    return this;
  }

  /**
   * Sets the tokens that end the generation, in place of the model's own.
   *
   * @param tokens token ids; none: only the limit ends it
   * @return this
   * @throws IllegalStateException after the first token
   */
  public Generation endTokens(int... tokens) {
    checkNotStarted();
    endTokens = tokens.clone();
    return this;
  }

  private void checkNotStarted() {
    if (started) {
      throw new IllegalStateException("the generation has begun");
    }
  }

  /**
   * Ends the generation before its next step. A step that runs finishes, and its token is not given out. May be called
   * by any thread, more than once.
   */
  public void cancel() {
    cancelled = true;
  }

  /**
   * Tells why it ended.
   *
   * @return the reason; null while it has not ended
   */
  public FinishReason finishReason() {
    return reason;
  }

  /**
   * Computes the next token where that has not happened yet.
   *
   * @return whether there is one
   * @throws MoxieException where the step failed: nothing has moved, and the next call tries it again
   */
  @Override
  public boolean hasNext() {
    if (!hasNext && reason == null) {
      advance();
    }
    return hasNext;
  }

  private void advance() {
    started = true;
    if (cancelled) {
      finish(FinishReason.CANCELLED);
      return;
    }
    if (given == limit) {
      finish(FinishReason.LIMIT);
      return;
    }
    if (pending != null) {
      model.step(Step.of(sequence, pending).under(adapter).logits(logits));
      pending = null;
    }
    if (cancelled) {
      finish(FinishReason.CANCELLED);
      return;
    }
    if (sampler == null) {
      own = Sampler.greedy();
      sampler = own;
    }
    int token = sampler.next(logits);
    if (Arrays.stream(endTokens).anyMatch(end -> end == token)) {
      finish(FinishReason.END_TOKEN);
      return;
    }
    next = token;
    pending = new int[] {token};
    hasNext = true;
    ++given;
  }

  private void finish(FinishReason why) {
    reason = why;
    if (own != null) {
      own.close();
    }
  }

  /**
   * Gives the next token out.
   *
   * @return the token's id
   * @throws NoSuchElementException where it has ended
   * @throws MoxieException where the step failed
   */
  @Override
  public int nextInt() {
    if (!hasNext()) {
      throw new NoSuchElementException("the generation has ended: " + reason);
    }
    hasNext = false;
    return next;
  }

  /**
   * Gives the remaining tokens to a callback, each as soon as it is chosen. The callback may {@link #cancel}.
   *
   * @param callback receives each token; what it throws ends the loop and leaves the generation where it is
   */
  public void forEach(IntConsumer callback) {
    Objects.requireNonNull(callback, "callback");
    while (hasNext()) {
      callback.accept(nextInt());
    }
  }

  /**
   * Gives the remaining tokens as a stream, computed one by one as they are taken.
   *
   * @return the tokens
   */
  public IntStream stream() {
    return StreamSupport.intStream(
        Spliterators.spliteratorUnknownSize(this, Spliterator.ORDERED | Spliterator.NONNULL), false);
  }

  /**
   * Gives the remaining tokens at once.
   *
   * @return the tokens
   */
  public int[] toArray() {
    return stream().toArray();
  }
}
