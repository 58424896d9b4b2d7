// The raw layer: every function of the public headers under its own name, for the small layer of each language above it
// and for nobody else. Pointers are integers of their size here; what they may point at, and for how long, the layer
// above answers for.
%module(docstring="Internal: use the classes above it.") raw

%{
#include <moxie/moxie.h>
%}

#define MOX_API

%include <stdint.i>

// One file for each language: how its integers carry pointers.
#if defined(SWIGCSHARP)
%include "csharp.i"
#elif defined(SWIGJAVA)
%include "java.i"
#elif defined(SWIGGO)
%include "go.i"
#endif

%include <moxie/status.h>
%include <moxie/types.h>
%include <moxie/runtime.h>
%include <moxie/routing.h>
%include <moxie/feed_forward.h>
%include <moxie/sequence.h>
%include <moxie/model.h>
%include <moxie/block.h>
%include <moxie/sampler.h>
%include <moxie/router_loss.h>
%include <moxie/adapter.h>
%include <moxie/file.h>
