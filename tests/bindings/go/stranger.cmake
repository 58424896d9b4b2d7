# What somebody does who has installed Moxie and writes a Go program of their own somewhere else.
file(REMOVE_RECURSE ${WORK})
set(prefix ${WORK}/prefix)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(COPY ${SOURCE}/ DESTINATION ${WORK}/project)

set(pkgconfig ${prefix}/${LIBDIR}/pkgconfig)
if(NOT EXISTS ${pkgconfig}/moxie.pc)
  message(STATUS "the installation has no moxie.pc: this test writes one")
  file(WRITE ${pkgconfig}/moxie.pc "Name: moxie\nDescription: written by a test\nVersion: ${VERSION}\n"
                                   "Cflags: -I${prefix}/include\nLibs: -L${prefix}/${LIBDIR} -lmoxie\n")
endif()
set(environment PKG_CONFIG_PATH=${pkgconfig} LD_LIBRARY_PATH=${prefix}/${LIBDIR} GOCACHE=${WORK}/cache
                GOPATH=${WORK}/gopath GOPROXY=off GOWORK=off GOFLAGS=)
function(run)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env ${environment} ${ARGN} WORKING_DIRECTORY ${WORK}/project
                  COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE output COMMAND_ECHO STDOUT)
  set(output ${output} PARENT_SCOPE)
endfunction()
run(${GO} mod init example.com/mine)
run(${GO} mod edit -require=moxie.dev/go/moxie@v0.0.0 -replace=moxie.dev/go/moxie=${prefix}/${DATADIR}/moxie/go)
run(${GO} build -o mine .)
run(${WORK}/project/mine ${MODELS})
if(NOT output STREQUAL "316 1594 412 291 851 263\n")
  message(FATAL_ERROR "it printed ${output}")
endif()
