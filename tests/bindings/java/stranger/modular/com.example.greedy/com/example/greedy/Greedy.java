package com.example.greedy;

import io.moxie.Moxie;
import io.moxie.Sampler;

/** The same as a module. */
public class Greedy {
  public static void main(String[] arguments) {
    Module moxie = Moxie.class.getModule();
    if (!moxie.isNamed() || moxie.isExported("io.moxie.internal") || !moxie.isExported("io.moxie")) {
      throw new IllegalStateException(moxie + " exports " + moxie.getPackages());
    }
    try (Sampler sampler = Sampler.greedy()) {
      if (sampler.next(new float[] {1, 3, 2}) != 1) {
        throw new IllegalStateException("not the likeliest");
      }
    }
    System.out.println("modular: ok, " + moxie.getDescriptor().toNameAndVersion() + ", library " + Moxie.version());
  }
}
