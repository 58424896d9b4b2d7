// C#: every pointer is a native integer in the one internal class that is compiled, so that its signatures are
// blittable: no marshalling stubs, nothing for a trimmer to lose.
%pragma(csharp) imclassclassmodifiers="internal static unsafe partial class"

%typemap(ctype) SWIGTYPE *, SWIGTYPE [], char *, char [ANY], char [] "void *"
%typemap(imtype) SWIGTYPE *, SWIGTYPE [], char *, char [ANY], char [] "nint"
%typemap(cstype) SWIGTYPE *, SWIGTYPE [], char *, char [ANY], char [] "nint"
%typemap(csin) SWIGTYPE *, SWIGTYPE [], char *, char [ANY], char [] "$csinput"
%typemap(csout, excode="") SWIGTYPE *, SWIGTYPE [], char *, char [ANY], char [] { return $imcall; }
%typemap(csvarin, excode="") SWIGTYPE *, char * %{ set { $imcall; } %}
%typemap(csvarout, excode="") SWIGTYPE *, SWIGTYPE [], char *, char [ANY] %{ get { return $imcall; } %}
%typemap(in) SWIGTYPE *, char * %{ $1 = ($1_ltype)$input; %}
%typemap(out) SWIGTYPE *, SWIGTYPE [], char *, char [ANY] %{ $result = (void *)$1; %}

// A struct keeps the caller's string as it is: no copy, hence nobody to free one.
%typemap(memberin) char *, const char * "$1 = ($1_ltype)$input;"

// What the library fills is read, never written.
%immutable mox_error::message;
%immutable mox_runtime_info::cpu;
%immutable mox_runtime_info::backends;
%immutable mox_runtime_info::kernel_f32;
%immutable mox_runtime_info::kernel_bf16;
%immutable mox_runtime_info::cpus;
%immutable mox_adapter_info::name;
%immutable mox_file_info::family;
%immutable mox_file_info::format;
%immutable mox_model_info::family;
%immutable mox_tensor_info::shape;

// 64 bits wide whatever SWIG takes size_t for.
%typemap(ctype) size_t "size_t"
%typemap(imtype) size_t "nuint"
%typemap(cstype) size_t "nuint"
%typemap(in) size_t %{ $1 = $input; %}
%typemap(out) size_t %{ $result = $1; %}

// Structs live in memory that C# allocates: how much each takes is asked of the compiler that built the library.
%constant size_t mox_error_size = sizeof(mox_error);
%constant size_t mox_matrix_size = sizeof(mox_matrix);
%constant size_t mox_runtime_options_size = sizeof(mox_runtime_options);
%constant size_t mox_runtime_info_size = sizeof(mox_runtime_info);
%constant size_t mox_load_options_size = sizeof(mox_load_options);
%constant size_t mox_expert_weights_size = sizeof(mox_expert_weights);
%constant size_t mox_feed_forward_description_size = sizeof(mox_feed_forward_description);
%constant size_t mox_feed_forward_info_size = sizeof(mox_feed_forward_info);
%constant size_t mox_range_size = sizeof(mox_range);
%constant size_t mox_batch_size = sizeof(mox_batch);
%constant size_t mox_routing_info_size = sizeof(mox_routing_info);
%constant size_t mox_routing_choice_size = sizeof(mox_routing_choice);
%constant size_t mox_sequence_options_size = sizeof(mox_sequence_options);
%constant size_t mox_sequence_info_size = sizeof(mox_sequence_info);
%constant size_t mox_model_info_size = sizeof(mox_model_info);
%constant size_t mox_step_size = sizeof(mox_step);
%constant size_t mox_block_step_size = sizeof(mox_block_step);
%constant size_t mox_sampler_options_size = sizeof(mox_sampler_options);
%constant size_t mox_router_loss_options_size = sizeof(mox_router_loss_options);
%constant size_t mox_lora_factors_size = sizeof(mox_lora_factors);
%constant size_t mox_adapter_projection_size = sizeof(mox_adapter_projection);
%constant size_t mox_adapter_description_size = sizeof(mox_adapter_description);
%constant size_t mox_adapter_info_size = sizeof(mox_adapter_info);
%constant size_t mox_file_info_size = sizeof(mox_file_info);
%constant size_t mox_tensor_info_size = sizeof(mox_tensor_info);
