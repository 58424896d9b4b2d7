package io.moxie;

import io.moxie.internal.Call;
import io.moxie.internal.LogHook;
import io.moxie.internal.Memory;
import io.moxie.internal.NativeHandle;
import io.moxie.internal.mox_runtime_info;
import io.moxie.internal.mox_runtime_options;
import io.moxie.internal.raw;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Threads, instruction set, backend and log. Create one per process and share it: any number of threads may use it at
 * once, and however many call, its own threads stay as few as they are.
 *
 * <p>Import it by its name ({@code import io.moxie.Runtime}), which then hides {@link java.lang.Runtime}; {@code import
 * io.moxie.*} leaves the name ambiguous.
 *
 * <p>Closing it gives up this handle only: models, blocks and feed-forwards made with it keep what they need, and the
 * threads end with the last of them.
 */
public final class Runtime implements AutoCloseable {
  private final NativeHandle handle;

  private Runtime(NativeHandle handle) {
    this.handle = handle;
  }

  /**
   * Creates a runtime with the defaults.
   *
   * @return the runtime
   * @throws NativeLibraryException where the C library cannot be loaded
   */
  public static Runtime create() {
    return create(new RuntimeOptions());
  }

  /**
   * Creates a runtime.
   *
   * @param options how
   * @return the runtime
   * @throws NativeLibraryException where the C library cannot be loaded
   * @throws MoxieException where the machine or this build lacks what is asked for
   */
  public static Runtime create(RuntimeOptions options) {
    Objects.requireNonNull(options, "options");
    try (Call call = new Call()) {
      long struct = call.allocate(mox_runtime_options.sizeOf());
      raw.mox_runtime_options_init(struct, mox_runtime_options.sizeOf());
      mox_runtime_options settings = new mox_runtime_options(struct);
      settings.setThreads(options.threads);
      settings.setIsa(options.isa.code());
      settings.setBackend(options.backend.code());
      settings.setNumerics(options.numerics.code());
      settings.setAffinity(options.affinity.code());
      settings.setCpus(call.text("cpus", options.cpus));
      LogHook hook = null;
      if (options.log != null) {
        LogCallback log = options.log;
        hook = new LogHook((level, text) -> log.log(LogLevel.of(level), text));
        call.keep(hook);
        settings.setLog(LogHook.callback());
        settings.setLog_payload(hook.payload());
        settings.setLog_level(options.logLevel.code());
      }
      long out = call.out();
      call.check(raw.mox_runtime_create(struct, out, call.error()));
      return new Runtime(new NativeHandle("runtime", Memory.readLong(out), raw::mox_runtime_free, hook));
    }
  }

  /**
   * Describes what was chosen.
   *
   * @return threads, instruction set, kernels
   */
  public RuntimeInfo describe() {
    try (Call call = new Call()) {
      long struct = call.allocate(mox_runtime_info.sizeOf());
      mox_runtime_info info = new mox_runtime_info(struct);
      info.setStruct_size(mox_runtime_info.sizeOf());
      call.check(raw.mox_runtime_describe(call.use(handle), struct, call.error()));
      return new RuntimeInfo(
          info.getThreads(),
          Isa.of(info.getIsa()),
          Isa.of(info.getMachine_isa()),
          Memory.text(info.getCpu()),
          Memory.text(info.getBackends()),
          Memory.text(info.getKernel_f32()),
          Memory.text(info.getKernel_bf16()),
          Affinity.of(info.getAffinity()),
          info.getCores(),
          info.getNuma_nodes(),
          Memory.text(info.getCpus()));
    }
  }

  /**
   * Lists the kernel table, best first, with the reason why an entry is not used.
   *
   * @return the entries
   */
  public List<Kernel> kernels() {
    List<Kernel> result = new ArrayList<>();
    try (Call call = new Call()) {
      long runtime = call.use(handle);
      long name = call.out();
      long reason = call.out();
      while (true) {
        try {
          call.check(raw.mox_runtime_kernel(runtime, result.size(), name, reason, call.error()));
        } catch (NotFoundException end) {
          return List.copyOf(result);
        }
        result.add(new Kernel(Memory.text(Memory.readLong(name)), Memory.text(Memory.readLong(reason))));
      }
    }
  }

  NativeHandle handle() {
    return handle;
  }

  /** Gives up this handle; a second time does nothing. */
  @Override
  public void close() {
    handle.close();
  }
}
