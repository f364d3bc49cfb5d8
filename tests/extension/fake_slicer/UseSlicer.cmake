include(CTest)

set(EXTENSION_NAME "${PROJECT_NAME}")
# The prefix differs from the build tree's, as on macOS: lists that mix the two up are found out.
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "bundle/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(module "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown arguments: ${module_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT module_NAME)
    message(FATAL_ERROR "a scripted module needs a NAME")
  endif()
  set(copies "")
  foreach(file IN LISTS module_SCRIPTS module_RESOURCES)
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    if(NOT EXISTS "${source}")
      message(FATAL_ERROR "${module_NAME} lists a file that does not exist: ${file}")
    endif()
    set(copy "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/${file}")
    add_custom_command(OUTPUT "${copy}" DEPENDS "${source}" COMMAND ${CMAKE_COMMAND} -E copy "${source}" "${copy}")
    list(APPEND copies "${copy}")
    get_filename_component(folder "${file}" DIRECTORY)
    install(
      FILES "${source}"
      DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/${folder}"
      COMPONENT RuntimeLibraries
      )
  endforeach()
  add_custom_target(${module_NAME}Copies ALL DEPENDS ${copies})
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(test "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${test_SCRIPT}")
    message(FATAL_ERROR "a test that does not exist: ${test_SCRIPT}")
  endif()
endfunction()
