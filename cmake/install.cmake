# What `cmake --install` puts where, in three components: the library, what programs are built with, and the program.
include(CMakePackageConfigHelpers)

set(MOXIE_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Moxie)
set(MOXIE_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(TARGETS moxie EXPORT MoxieTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/moxie DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.h")

# The CMake package. A program takes a later minor version as well: see docs/versioning.md.
install(EXPORT MoxieTargets NAMESPACE Moxie:: DESTINATION ${MOXIE_CMAKE_DIR} COMPONENT development)
configure_package_config_file(${PROJECT_SOURCE_DIR}/packaging/MoxieConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/packaging/MoxieConfig.cmake
                              INSTALL_DESTINATION ${MOXIE_CMAKE_DIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/packaging/MoxieConfigVersion.cmake
                                 COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/packaging/MoxieConfig.cmake ${PROJECT_BINARY_DIR}/packaging/MoxieConfigVersion.cmake
        DESTINATION ${MOXIE_CMAKE_DIR} COMPONENT development)

# pkg-config. Folders are found from where the file lies, so that an installed tree may be moved.
function(moxie_pc_folder result folder)
  if(IS_ABSOLUTE "${folder}")
    set(${result} "${folder}" PARENT_SCOPE)
  else()
    set(${result} "\${prefix}/${folder}" PARENT_SCOPE)
  endif()
endfunction()
moxie_pc_folder(MOXIE_PC_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}")
moxie_pc_folder(MOXIE_PC_LIBDIR "${CMAKE_INSTALL_LIBDIR}")
file(RELATIVE_PATH MOXIE_PREFIX_FROM_PC "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" MOXIE_PREFIX_FROM_PC "${MOXIE_PREFIX_FROM_PC}")
configure_file(${PROJECT_SOURCE_DIR}/packaging/moxie.pc.in ${PROJECT_BINARY_DIR}/packaging/moxie.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/packaging/moxie.pc DESTINATION ${MOXIE_PC_DIR} COMPONENT development)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/NOTICE
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/moxie COMPONENT library)

if(MOXIE_BUILD_CLI)
  # The manual page is made from what the built program says of itself.
  set(manual ${PROJECT_BINARY_DIR}/packaging/moxie.1)
  add_custom_command(OUTPUT ${manual}
                     COMMAND ${PROJECT_SOURCE_DIR}/packaging/make-manual $<TARGET_FILE:moxie_cli> > ${manual}
                     DEPENDS moxie_cli ${PROJECT_SOURCE_DIR}/packaging/make-manual
                             ${PROJECT_SOURCE_DIR}/packaging/help.awk
                     COMMENT "Making the manual page" VERBATIM)
  add_custom_target(moxie_manual ALL DEPENDS ${manual})
  install(TARGETS moxie_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
  install(FILES ${manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
  install(FILES ${PROJECT_SOURCE_DIR}/packaging/moxie.bash RENAME moxie
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT program)
endif()
