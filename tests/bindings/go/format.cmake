execute_process(COMMAND ${GOFMT} -l ${FOLDERS} OUTPUT_VARIABLE unformatted COMMAND_ERROR_IS_FATAL ANY)
if(unformatted)
  message(FATAL_ERROR "gofmt would change:\n${unformatted}")
endif()
