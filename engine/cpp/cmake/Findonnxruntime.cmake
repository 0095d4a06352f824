# ONNX Runtime's headers and library: those of Debian's libonnxruntime-dev, of an unpacked release archive
# (-Donnxruntime_ROOT=FOLDER), or beside the CMake files in onnxruntime_DIR. Looked for one by one, as the CMake files of
# several releases name folders that are not in their archives.
#   onnxruntime_FOUND, onnxruntime_VERSION (of the headers' interface, as 1.21), target onnxruntime::onnxruntime
set(_folders)
if(onnxruntime_DIR)  # PREFIX/lib/cmake/onnxruntime, on Debian PREFIX/lib/ARCHITECTURE/cmake/onnxruntime
    foreach(_up ../.. ../../.. ../../../..)
        get_filename_component(_folder "${onnxruntime_DIR}/${_up}" ABSOLUTE)
        list(APPEND _folders "${_folder}")
    endforeach()
endif()
find_path(onnxruntime_INCLUDE_DIR onnxruntime_cxx_api.h
    HINTS ${_folders} PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session)
find_library(onnxruntime_LIBRARY onnxruntime HINTS ${_folders} PATH_SUFFIXES lib lib64)
mark_as_advanced(onnxruntime_INCLUDE_DIR onnxruntime_LIBRARY)

if(onnxruntime_INCLUDE_DIR)
    file(STRINGS "${onnxruntime_INCLUDE_DIR}/onnxruntime_c_api.h" _line REGEX "^#define ORT_API_VERSION ")
    string(REGEX REPLACE "^#define ORT_API_VERSION ([0-9]+).*" "1.\\1" onnxruntime_VERSION "${_line}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(onnxruntime
    REQUIRED_VARS onnxruntime_LIBRARY onnxruntime_INCLUDE_DIR VERSION_VAR onnxruntime_VERSION)

if(onnxruntime_FOUND AND NOT TARGET onnxruntime::onnxruntime)
    add_library(onnxruntime::onnxruntime UNKNOWN IMPORTED)
    set_target_properties(onnxruntime::onnxruntime PROPERTIES
        IMPORTED_LOCATION "${onnxruntime_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${onnxruntime_INCLUDE_DIR}")
endif()
