package tenants;

import io.moxie.Adapter;
import io.moxie.Model;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** The adapters in service by name. They may be replaced while others use them. */
final class AdapterShelf implements AutoCloseable {
  private final Model model;
  private final Path folder;
  private final Map<String, Adapter> adapters = new HashMap<>();

  AdapterShelf(Model model, Path folder) {
    this.model = model;
    this.folder = folder;
  }

  /** A handle of the caller's own, which a replacement does not touch. Loads the adapter where it is not in service. */
  Adapter take(String name) {
    synchronized (adapters) {
      return adapters.computeIfAbsent(name, this::open).retain();
    }
  }

  /** Puts a fresh copy in service. Steps that use the old one finish with it; its memory goes with the last of them. */
  void replace(String name) {
    Adapter fresh = open(name);
    Adapter old;
    synchronized (adapters) {
      old = adapters.put(name, fresh);
    }
    if (old != null) {
      old.close();
    }
  }

  /** Takes an adapter out of service. */
  void unload(String name) {
    Adapter old;
    synchronized (adapters) {
      old = adapters.remove(name);
    }
    if (old != null) {
      old.close();
    }
  }

  private Adapter open(String name) {
    return Adapter.open(model, folder.resolve(name));
  }

  @Override
  public void close() {
    synchronized (adapters) {
      adapters.values().forEach(Adapter::close);
      adapters.clear();
    }
  }
}
