package io.moxie;

/**
 * An entry of a runtime's kernel table.
 *
 * @param name the kernel's name
 * @param skippedBecause why it is not used; empty where it can be
 */
public record Kernel(String name, String skippedBecause) {}
