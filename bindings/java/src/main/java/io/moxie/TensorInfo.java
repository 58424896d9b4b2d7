package io.moxie;

import java.util.List;

/**
 * A tensor of a {@link MoxieFile}.
 *
 * @param index its place in the file's list, which is sorted by name
 * @param name its name
 * @param file the file it is stored in, relative to the folder
 * @param type element type, as stored
 * @param shape its dimensions, outermost first
 * @param bytes its bytes
 */
public record TensorInfo(int index, String name, String file, DType type, List<Long> shape, long bytes) {}
