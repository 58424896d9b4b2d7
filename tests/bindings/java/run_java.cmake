# Runs a Java program with the virtual machine's checks of native code, and fails where it or they complain.
#   cmake -P run_java.cmake -- JAVA ARGUMENT...
set(command)
set(past_separator OFF)
foreach(i RANGE 0 ${CMAKE_ARGC})
  if(past_separator AND i LESS CMAKE_ARGC)
    list(APPEND command "${CMAKE_ARGV${i}}")
  elseif("${CMAKE_ARGV${i}}" STREQUAL "--")
    set(past_separator ON)
  endif()
endforeach()
list(INSERT command 1 -Xcheck:jni)
execute_process(COMMAND ${command} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output
                ECHO_OUTPUT_VARIABLE ECHO_ERROR_VARIABLE)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "ended with ${result}")
endif()
foreach(complaint "WARNING in native method" "FATAL ERROR in native method" "JNI local refs" "pending exception"
        "Warning: SIG" "JNI call made")
  string(FIND "${output}" "${complaint}" found)
  if(NOT found EQUAL -1)
    message(FATAL_ERROR "-Xcheck:jni complained: ${complaint}")
  endif()
endforeach()
