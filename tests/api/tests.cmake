# Tests of what the C surface does. They link the shared library as any client does: nothing but the public headers.
if(MOXIE_SANITIZE)
  set(moxie_sanitized 1)
else()
  set(moxie_sanitized 0)
endif()

# Fewer repetitions where a sanitizer makes each of them dear: MOXIE_SANITIZED is 1 there, else 0.
function(moxie_api_test name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE moxie moxie_warnings Threads::Threads GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE MOXIE_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data"
                             MOXIE_MODELS="${PROJECT_SOURCE_DIR}/examples/models" MOXIE_SANITIZED=${moxie_sanitized})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

moxie_api_test(api_arguments_test arguments_adapter_test.cpp arguments_feed_forward_test.cpp arguments_model_test.cpp
               arguments_routing_test.cpp arguments_runtime_test.cpp)
set_target_properties(api_arguments_test PROPERTIES UNITY_BUILD OFF)  # its files use names twice
moxie_api_test(api_dtype_test dtype_test.cpp)
moxie_api_test(api_invariance_feed_forward_test invariance_feed_forward_test.cpp machines.cpp)
moxie_api_test(api_invariance_model_test invariance_model_test.cpp machines.cpp)
moxie_api_test(api_sizes_test sizes_test.cpp machines.cpp)
moxie_api_test(api_many_adapters_test many_adapters_test.cpp machines.cpp)
moxie_api_test(api_lifetime_test lifetime_test.cpp)
# Counts with a malloc of its own, where a sanitizer has put one already.
if(NOT MOXIE_SANITIZE)
  moxie_api_test(api_allocation_test allocation_test.cpp)
endif()

# oneDNN keeps the instruction set of its first use in a process: its lowest needs a process of its own.
if(MOXIE_HAVE_ONEDNN)
  foreach(subject feed_forward model)
    add_test(NAME api_invariance_${subject}_portable_onednn
             COMMAND api_invariance_${subject}_test --gtest_filter=*best_onednn*)
    set_tests_properties(api_invariance_${subject}_portable_onednn
                         PROPERTIES ENVIRONMENT MOXIE_ISA=portable TIMEOUT 600
                                    FAIL_REGULAR_EXPRESSION "Running 0 tests")
  endforeach()
endif()
