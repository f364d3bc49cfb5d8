# A stand-in for the CMake package of a Slicer build, for tests only: it copies and installs
# files to the places where Slicer does, refuses what Slicer refuses, and needs no Slicer.
set(Slicer_FOUND TRUE)
set(Slicer_VERSION 5.12)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-${Slicer_VERSION}/qt-scripted-modules")
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/CPack.cmake")
