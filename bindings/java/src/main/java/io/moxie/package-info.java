/**
 * Mixture-of-experts feed-forward layers and LoRA experts on server CPUs: one frozen base model, many adapters, one
 * process, one batch.
 *
 * <p>{@link io.moxie.Runtime} comes first; {@link io.moxie.Model}, {@link io.moxie.Block} and {@link
 * io.moxie.FeedForward} are opened with it; {@link io.moxie.Adapter}s are laid over those; {@link io.moxie.Sequence}s
 * move through a model in {@link io.moxie.Step}s; rows move through a feed-forward in {@link io.moxie.Batch}es. {@link
 * io.moxie.Generation} wraps steps and a {@link io.moxie.Sampler} for the simple case of one sequence.
 *
 * <h2>Errors</h2>
 *
 * <p>A call that fails throws a subclass of {@link io.moxie.MoxieException}, one for each {@link io.moxie.Status}, and
 * has changed nothing. Using a closed object throws {@link java.lang.IllegalStateException}; a null that is not allowed,
 * {@link java.lang.NullPointerException}.
 *
 * <h2>Ownership</h2>
 *
 * <p>What can be closed should be, with try-with-resources: it holds memory the collector does not see. Objects may be
 * closed in any order, also while others are in use, and twice. What is forgotten is freed some time after nobody can
 * reach it.
 *
 * <h2>The C library</h2>
 *
 * <p>The jar has it inside, and copies it once for each version, checked at every start, to the folder {@code moxie} in
 * the user's cache folder ({@code $XDG_CACHE_HOME}, else {@code $HOME/.cache}); {@code -Dmoxie.cache.dir=FOLDER} names
 * another. {@code -Dmoxie.library.path=FOLDER} takes {@code libmoxie.so} from a folder instead, and copies only the small
 * glue between it and Java where that is not there too. It needs the system's libdnnl, libzip, libxxhash, libgomp and
 * libstdc++. Where it cannot be loaded, every use throws {@link io.moxie.NativeLibraryException}. One class loader of a
 * process can load it.
 */
package io.moxie;
