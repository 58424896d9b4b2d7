// How the raw layer's pointers look in Go. cgo forbids that C memory holds a pointer to Go memory, hence:
//   handles                    uintptr: C memory that Go's collector need not know about
//   data (float*, void*, ...)  unsafe.Pointer: a slice passed for the time of the call, or C memory
//   structs                    SWIG's accessors over C memory; what their fields point at must be C memory too
//   strings                    copied, both ways
%define MOXIE_GO_HANDLE(TYPE)
%typemap(gotype) TYPE *, const TYPE * "uintptr"
%typemap(gotype) TYPE ** "*uintptr"
%enddef
MOXIE_GO_HANDLE(mox_runtime)
MOXIE_GO_HANDLE(mox_model)
MOXIE_GO_HANDLE(mox_block)
MOXIE_GO_HANDLE(mox_feed_forward)
MOXIE_GO_HANDLE(mox_adapter)
MOXIE_GO_HANDLE(mox_sequence)
MOXIE_GO_HANDLE(mox_sampler)
MOXIE_GO_HANDLE(mox_routing)
MOXIE_GO_HANDLE(mox_file)

%define MOXIE_GO_DATA(TYPE)
%typemap(gotype) TYPE *, const TYPE * "unsafe.Pointer"
%typemap(in) TYPE *, const TYPE * "$1 = ($1_ltype)$input;"
%typemap(out) TYPE *, const TYPE * "$result = (void*)$1;"
%enddef
MOXIE_GO_DATA(void)
MOXIE_GO_DATA(float)
MOXIE_GO_DATA(double)
MOXIE_GO_DATA(int32_t)
MOXIE_GO_DATA(int64_t)
MOXIE_GO_DATA(uint8_t)

// int32_t is C's int; by itself SWIG would make it Go's 64-bit one.
%typemap(gotype) int32_t "int32"
%typemap(in) int32_t "$1 = (int32_t)$input;"
%typemap(out) int32_t "$result = $1;"
%typemap(goout) int32_t ""

// SWIG's own typemaps build Go strings over C memory, which go vet refuses.
%typemap(gotype) const char *, char[ANY] "string"
%typemap(imtype) const char *, char[ANY] "unsafe.Pointer"
%typemap(goin) const char * "$result = unsafe.Pointer(C.CString($input))"
%typemap(in) const char * "$1 = (char*)$input;"
%typemap(freearg) const char * "free($1);"
%typemap(out) const char *, char[ANY] "$result = (void*)$1;"
%typemap(goout) const char *, char[ANY] "$result = C.GoString((*C.char)($1))"

// A string that comes back through a pointer stays where it is: see moxie_go_string.
%typemap(gotype) const char ** "*unsafe.Pointer"

%typemap(gotype) int64_t[ANY] "unsafe.Pointer"
%typemap(out) int64_t[ANY] "$result = (void*)$1;"

// Strings of answers are read, never written.
%immutable mox_error::message;
%immutable mox_runtime_info::cpu;
%immutable mox_runtime_info::backends;
%immutable mox_runtime_info::kernel_f32;
%immutable mox_runtime_info::kernel_bf16;
%immutable mox_runtime_info::cpus;
%immutable mox_model_info::family;
%immutable mox_adapter_info::name;
%immutable mox_file_info::family;
%immutable mox_file_info::format;
%immutable mox_tensor_info::name;
%immutable mox_tensor_info::file;
%immutable mox_tensor_info::shape;

// Set by the functions of calls.h: SWIG would leak a copy of each string, and has no callbacks for C.
%ignore mox_runtime_options::cpus;
%ignore mox_load_options::packed_cache_path;
%ignore mox_adapter_description::name;
%ignore mox_runtime_options::log;
%ignore mox_runtime_options::log_payload;

// A struct that says its size is made knowing it.
%define MOXIE_GO_SIZED(TYPE)
%extend TYPE {
  TYPE() {
    TYPE* made = (TYPE*)calloc(1, sizeof(TYPE));
    if (made) made->struct_size = sizeof(TYPE);
    return made;
  }
}
%enddef
MOXIE_GO_SIZED(mox_runtime_options)
MOXIE_GO_SIZED(mox_runtime_info)
MOXIE_GO_SIZED(mox_routing_info)
MOXIE_GO_SIZED(mox_feed_forward_description)
MOXIE_GO_SIZED(mox_load_options)
MOXIE_GO_SIZED(mox_feed_forward_info)
MOXIE_GO_SIZED(mox_batch)
MOXIE_GO_SIZED(mox_sequence_options)
MOXIE_GO_SIZED(mox_sequence_info)
MOXIE_GO_SIZED(mox_model_info)
MOXIE_GO_SIZED(mox_sampler_options)
MOXIE_GO_SIZED(mox_router_loss_options)
MOXIE_GO_SIZED(mox_adapter_description)
MOXIE_GO_SIZED(mox_adapter_info)
MOXIE_GO_SIZED(mox_file_info)
MOXIE_GO_SIZED(mox_tensor_info)

// Structs that are made in memory of a call, alone or in arrays: how large one is, and which is the n-th.
%define MOXIE_GO_ELEMENT(TYPE)
%inline %{
static size_t TYPE##_size(void) { return sizeof(TYPE); }
static TYPE* TYPE##_at(void* array, size_t index) { return (TYPE*)array + index; }
%}
%enddef
MOXIE_GO_ELEMENT(mox_matrix)
MOXIE_GO_ELEMENT(mox_load_options)
MOXIE_GO_ELEMENT(mox_range)
MOXIE_GO_ELEMENT(mox_step)
MOXIE_GO_ELEMENT(mox_expert_weights)
MOXIE_GO_ELEMENT(mox_lora_factors)
MOXIE_GO_ELEMENT(mox_adapter_projection)
MOXIE_GO_ELEMENT(mox_routing_choice)
MOXIE_GO_ELEMENT(mox_block_step)

%{
#include "calls.h"
%}
%include "calls.h"
