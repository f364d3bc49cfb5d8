# What the catalog would show goes into a file, one value a line, for the test to read.
set(listing "")
foreach(name NAME HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is empty")
  endif()
  string(APPEND listing "${name} ${EXTENSION_${name}}\n")
endforeach()
file(WRITE "${CMAKE_BINARY_DIR}/extension.txt" "${listing}")
