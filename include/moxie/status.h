/* What a call can answer, and how it says what was wrong. */
#ifndef MOXIE_STATUS_H
#define MOXIE_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "moxie/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The outcome of every call that can fail. Zero is success; numbers never change meaning. */
typedef enum mox_status {
  MOX_OK = 0,
  MOX_INVALID_ARGUMENT = 1, /* the caller's arguments do not fit together, or with the object */
  MOX_INVALID_FILE = 2,     /* a file's contents are damaged, hostile or contradictory */
  MOX_NOT_FOUND = 3,        /* no such file, folder, layer or tensor */
  MOX_UNSUPPORTED = 4,      /* well formed, but this library or this build cannot do it */
  MOX_OUT_OF_MEMORY = 5,
  MOX_NUMERIC = 6, /* a NaN or infinity where a decision is to be made (router or sampler) */
  MOX_IO = 7,      /* the operating system refused to read */
  MOX_INTERNAL = 8 /* a defect of the library; please report it with the message */
} mox_status;

/* What went wrong, in the caller's memory. Passed as the last argument of every call that can
 * fail; NULL where only the status matters. Written on failure only. The message is UTF-8, ends
 * with a zero byte, and names what was found and what was expected; a longer one is cut at a
 * character boundary. There is no thread-local "last error": bindings may move between threads. */
typedef struct mox_error {
  mox_status status;
  char message[1020];
} mox_error;

/* "invalid argument", "invalid file", ...; never NULL. Thread-safe. */
MOX_API const char* mox_status_name(mox_status status);

/* Version of the library that is loaded: "MAJOR.MINOR.PATCH". Thread-safe. */
MOX_API const char* mox_version(void);

#ifdef __cplusplus
}
#endif

#endif
