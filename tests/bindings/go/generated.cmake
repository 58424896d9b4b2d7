# What is committed is what SWIG makes of the headers today.
include(${SOURCE}/bindings/go/generate.cmake)
foreach(file raw.go raw_wrap.c)
  execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${OUT}/${file} ${SOURCE}/bindings/go/internal/raw/${file}
                  RESULT_VARIABLE different)
  if(different)
    message(FATAL_ERROR "bindings/go/internal/raw/${file} is not what SWIG makes of the headers: build the target "
                        "moxie_go_generate and commit what it changes")
  endif()
endforeach()
