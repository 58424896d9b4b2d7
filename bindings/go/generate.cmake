# Writes the raw layer that SWIG makes of the public headers into OUT: raw.go and raw_wrap.c.
#   cmake -DSWIG=swig -DGOFMT=gofmt -DSOURCE=<project> -DOUT=<folder> -P generate.cmake
# Run inside the project with relative paths, so that what is generated is the same on every machine.
file(MAKE_DIRECTORY ${OUT})
execute_process(
  COMMAND ${SWIG} -go -cgo -intgosize 64 -DSWIGWORDSIZE64 -package raw -Ibindings/swig -Ibindings/go/internal/raw -Iinclude
          -outdir ${OUT} -o ${OUT}/raw_wrap.c bindings/swig/moxie.i
  WORKING_DIRECTORY ${SOURCE} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${GOFMT} -w ${OUT}/raw.go COMMAND_ERROR_IS_FATAL ANY)
