# Debian packages by `cpack`, one for each component of the installation: libmoxie0, libmoxie-dev, moxie.
# Configure with -DCMAKE_INSTALL_PREFIX=/usr for the folders that Debian uses.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME moxie)
set(CPACK_PACKAGE_VENDOR "The Moxie authors")
set(CPACK_PACKAGE_CONTACT "The Moxie authors <moxie@localhost>" CACHE STRING "Who answers for the Debian packages")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
# Files keep the modes they get here, whatever the umask of who packs.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL library development)
if(MOXIE_BUILD_CLI)
  list(APPEND CPACK_COMPONENTS_ALL program)
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/src)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

get_target_property(soversion moxie SOVERSION)
set(library libmoxie${soversion})
set(exactly "(= ${PROJECT_VERSION}-1)")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${library})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "This is the shared library. It runs one frozen base model under many
adapters in one batch: LoRA, rsLoRA, DoRA, MixLoRA, LoRAMoE and MoLA.")
# Whoever links with the library depends on this version of it at least: later ones only add.
set(control ${PROJECT_BINARY_DIR}/packaging/control)
file(CONFIGURE OUTPUT ${control}/shlibs
     CONTENT "libmoxie ${soversion} ${library} (>= ${PROJECT_VERSION})\n")
file(CONFIGURE OUTPUT ${control}/triggers CONTENT "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${control}/shlibs ${control}/triggers)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libmoxie-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${library} ${exactly}")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "These are the C headers, pkg-config file and CMake package of libmoxie.")

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME moxie)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_DEPENDS "${library} ${exactly}")
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION "This is the program. It generates text, measures perplexity and speed,
and shows which experts serve which tokens, with many adapters over one
model in one batch.")

set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_BINARY_DIR}/packaging/finish_deb.cmake)
configure_file(${PROJECT_SOURCE_DIR}/packaging/finish_deb.cmake.in ${PROJECT_BINARY_DIR}/packaging/finish_deb.cmake
               @ONLY)
include(CPack)
