/* What the examples share: ending with the library's message, random numbers, comparing figures. */
#ifndef MOXIE_EXAMPLE_H
#define MOXIE_EXAMPLE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moxie/moxie.h"

/* Runs a call of the library whose last argument is &error, and ends the program where it fails.
 * A server would hand status and message to its own error handling here. */
#define TRY(call)                                                                             \
  do {                                                                                        \
    mox_error error;                                                                          \
    if ((call) != MOX_OK) {                                                                   \
      fprintf(stderr, "%s\n  %s: %s\n", #call, mox_status_name(error.status), error.message); \
      exit(1);                                                                                \
    }                                                                                         \
  } while (0)

/* Ends the program where something it claims does not hold. */
#define EXPECT(what)                                                            \
  do {                                                                          \
    if (!(what)) {                                                              \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what); \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

/* Memory, or the end of the program. */
static inline void* example_memory(size_t count, size_t size) {
  void* memory = calloc(count ? count : 1, size);
  EXPECT(memory != NULL);
  return memory;
}

/* Uniform in [-size, size), the same on every machine. */
static inline float example_random(uint32_t* state, float size) {
  *state = *state * 1664525u + 1013904223u;
  return size * ((float)(*state >> 8) / 8388608.0f - 1.0f);
}

/* ||y - t|| / ||t|| */
static inline double example_error(const float* y, const double* t, size_t count) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < count; ++i) {
    difference += (y[i] - t[i]) * (y[i] - t[i]);
    size += t[i] * t[i];
  }
  return sqrt(difference / size);
}

/* "FOLDER/NAME", in memory the caller frees. */
static inline char* example_path(const char* folder, const char* name) {
  char* path = example_memory(strlen(folder) + strlen(name) + 2, 1);
  sprintf(path, "%s/%s", folder, name);
  return path;
}

#endif
