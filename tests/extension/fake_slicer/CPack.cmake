if(NOT "${EXTENSION_NAME}" STREQUAL "${PROJECT_NAME}")
  message(FATAL_ERROR "Slicer packages nothing when the name of the extension is not that of the project")
endif()
