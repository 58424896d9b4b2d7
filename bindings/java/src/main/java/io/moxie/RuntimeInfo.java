package io.moxie;

/**
 * What a {@link Runtime} chose.
 *
 * @param threads threads that compute
 * @param isa the instruction-set level in use
 * @param machineIsa the highest this machine has
 * @param cpu the processor's own name
 * @param backends backends in this build, comma-separated
 * @param kernelF32 kernel chosen for float32 weights
 * @param kernelBf16 kernel chosen for bfloat16 weights
 * @param affinity how the threads are bound; never {@link Affinity#AUTO}
 * @param cores physical cores the threads may run on
 * @param numaNodes NUMA nodes those cores are on
 * @param cpus CPUs the threads may run on, "0-15,32"
 */
public record RuntimeInfo(
    int threads,
    Isa isa,
    Isa machineIsa,
    String cpu,
    String backends,
    String kernelF32,
    String kernelBf16,
    Affinity affinity,
    int cores,
    int numaNodes,
    String cpus) {}
