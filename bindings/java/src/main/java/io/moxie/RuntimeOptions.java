package io.moxie;

import java.util.Objects;

/**
 * How a {@link Runtime} is set up. What is left alone may also come from the environment: MOXIE_ISA, MOXIE_BACKEND,
 * MOXIE_THREADS, MOXIE_AFFINITY, MOXIE_CPUS. Setters return the object itself; it is read when the runtime is created.
 */
public final class RuntimeOptions {
  int threads;
  Isa isa = Isa.BEST;
  Backend backend = Backend.AUTO;
  Numerics numerics = Numerics.REPRODUCIBLE;
  Affinity affinity = Affinity.AUTO;
  String cpus;
  LogLevel logLevel = LogLevel.WARNING;
  LogCallback log;

  /** Creates the defaults. */
  public RuntimeOptions() {}

  /**
   * Sets the number of threads that compute.
   *
   * @param threads 0 (the default): one for each physical core this process may run on; at most 1024
   * @return this
   */
  public RuntimeOptions threads(int threads) {
    this.threads = threads;
    return this;
  }

  /**
   * Sets the highest instruction-set level to use.
   *
   * @param isa a level; one the machine lacks is an error of {@link Runtime#create(RuntimeOptions)}
   * @return this
   */
  public RuntimeOptions isa(Isa isa) {
    this.isa = Objects.requireNonNull(isa, "isa");
    return this;
  }

  /**
   * Forces a backend.
   *
   * @param backend a backend; one this build or machine lacks is an error of {@link Runtime#create(RuntimeOptions)}
   * @return this
   */
  public RuntimeOptions backend(Backend backend) {
    this.backend = Objects.requireNonNull(backend, "backend");
    return this;
  }

  /**
   * Sets which backends may be chosen.
   *
   * @param numerics the promise that must be kept
   * @return this
   */
  public RuntimeOptions numerics(Numerics numerics) {
    this.numerics = Objects.requireNonNull(numerics, "numerics");
    return this;
  }

  /**
   * Sets how threads are bound to CPUs.
   *
   * @param affinity the binding
   * @return this
   */
  public RuntimeOptions affinity(Affinity affinity) {
    this.affinity = Objects.requireNonNull(affinity, "affinity");
    return this;
  }

  /**
   * Sets the CPUs to run on.
   *
   * @param cpus a list, "0-15,32"; null (the default): all this process may run on
   * @return this
   */
  public RuntimeOptions cpus(String cpus) {
    this.cpus = cpus;
    return this;
  }

  /**
   * Sets who receives the runtime's log.
   *
   * @param level how much it tells
   * @param log the receiver; null (the default): nobody
   * @return this
   */
  public RuntimeOptions log(LogLevel level, LogCallback log) {
    this.logLevel = Objects.requireNonNull(level, "level");
    this.log = log;
    return this;
  }
}
