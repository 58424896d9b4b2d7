/* Symbol visibility of the C surface. */
#ifndef MOXIE_EXPORT_H
#define MOXIE_EXPORT_H

#if defined(MOX_BUILD_SHARED) && (defined(__GNUC__) || defined(__clang__))
#define MOX_API __attribute__((visibility("default")))
#else
#define MOX_API
#endif

#endif
