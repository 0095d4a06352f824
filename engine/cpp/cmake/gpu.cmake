# CUDA and TensorRT, for networks on a GPU. Sets CUDA_FOUND (MFP_KERNELS is then the kernels' fatbin) and TensorRT_FOUND
# (with TensorRT_FLAVOUR, "tensorrt" or "tensorrt-rtx"), and says what is missing.

set(MFP_CUDA_ARCHITECTURES 75 80 86 89 90 100 120 CACHE STRING
    "Compute capabilities to compile the kernels for; the last one also for GPUs that are newer")
set(TensorRT_ROOT "" CACHE PATH "Folder of TensorRT, or of TensorRT for RTX; empty: their pip wheel in MFP_PYTHON")
set(TensorRT_INCLUDE "" CACHE PATH "Folder with NvInfer.h; empty: TensorRT_ROOT/include, or the system's")

# --- CUDA: headers and nvcc. The driver's library is opened when a GPU is asked for. ----------------------------------

if(MFP_CUDA AND UNIX)
    find_package(CUDAToolkit QUIET)
endif()
set(CUDA_FOUND OFF)
if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE)
    set(CUDA_FOUND ON)
    execute_process(COMMAND ${CUDAToolkit_NVCC_EXECUTABLE} --list-gpu-arch OUTPUT_VARIABLE known ERROR_QUIET)
    set(chosen)
    foreach(architecture ${MFP_CUDA_ARCHITECTURES})
        if(known MATCHES "compute_${architecture}[^0-9]")  # older compilers do not know newer GPUs
            list(APPEND chosen ${architecture})
        endif()
    endforeach()
    if(NOT chosen)
        message(FATAL_ERROR "mfp: ${CUDAToolkit_NVCC_EXECUTABLE} compiles for none of MFP_CUDA_ARCHITECTURES "
                            "(${MFP_CUDA_ARCHITECTURES}); it knows ${known}")
    endif()
    set(targets)
    foreach(architecture ${chosen})
        list(APPEND targets -gencode arch=compute_${architecture},code=sm_${architecture})
    endforeach()
    list(GET chosen -1 newest)
    list(APPEND targets -gencode arch=compute_${newest},code=compute_${newest})
    set(MFP_KERNELS ${CMAKE_CURRENT_BINARY_DIR}/kernels.fatbin)
    set(folder ${CMAKE_CURRENT_SOURCE_DIR}/../../kernels)
    # the options of kernels/cubin.py
    add_custom_command(
        OUTPUT ${MFP_KERNELS}
        COMMAND ${CUDAToolkit_NVCC_EXECUTABLE} -fatbin -std=c++17 -ftz=false -prec-div=true -prec-sqrt=true ${targets}
                ${folder}/all.cu -o ${MFP_KERNELS}
        DEPENDS ${folder}/all.cu ${folder}/click.cu ${folder}/crop.cu ${folder}/modulate.cu ${folder}/paste.cu
                ${folder}/click_block.h ${folder}/click_steps.h ${folder}/mfp_ops.h
        VERBATIM)
    string(REPLACE ";" ", " shown "${chosen}")
    message(STATUS "mfp: CUDA ${CUDAToolkit_VERSION} found; kernels for compute capability ${shown} and later")
elseif(MFP_CUDA)
    message(STATUS "mfp: no CUDA toolkit found (nvcc and headers); with one say -DCUDAToolkit_ROOT=FOLDER")
else()
    message(STATUS "mfp: CUDA left out (MFP_CUDA=OFF)")
endif()

# --- TensorRT: headers and library ------------------------------------------------------------------------------------

set(TensorRT_FOUND OFF)
if(MFP_TENSORRT AND CUDA_FOUND)
    find_path(TensorRT_HEADERS NvInfer.h HINTS ${TensorRT_INCLUDE} ${TensorRT_ROOT}/include ${TensorRT_ROOT})
    set(folders ${TensorRT_ROOT}/lib ${TensorRT_ROOT})
    if(NOT TensorRT_ROOT AND MFP_PYTHON)
        execute_process(
            COMMAND "${MFP_PYTHON}" -c
                    "import importlib.util as u, os; found = map(u.find_spec, ('tensorrt_libs', 'tensorrt_rtx_libs')); print(';'.join(os.path.dirname(f.origin) for f in found if f))"
            OUTPUT_VARIABLE folders OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
    # a wheel's libraries end in their version
    set(suffixes ${CMAKE_FIND_LIBRARY_SUFFIXES})
    list(APPEND CMAKE_FIND_LIBRARY_SUFFIXES .so.11 .so.10 .so.1)
    find_library(TensorRT_LIBRARY NAMES nvinfer tensorrt_rtx HINTS ${folders})
    find_library(TensorRT_PARSER NAMES nvonnxparser tensorrt_onnxparser_rtx HINTS ${folders})
    set(CMAKE_FIND_LIBRARY_SUFFIXES ${suffixes})
    if(TensorRT_HEADERS AND TensorRT_LIBRARY AND TensorRT_PARSER)
        set(TensorRT_FOUND ON)
        set(TensorRT_FLAVOUR tensorrt)
        if(TensorRT_LIBRARY MATCHES rtx)
            set(TensorRT_FLAVOUR tensorrt-rtx)
        endif()
        file(STRINGS ${TensorRT_HEADERS}/NvInferVersion.h own_headers REGEX "define TRT_MAJOR_RTX")
        message(STATUS "mfp: ${TensorRT_FLAVOUR} found: ${TensorRT_LIBRARY}, headers in ${TensorRT_HEADERS}")
        if(TensorRT_FLAVOUR STREQUAL tensorrt-rtx AND NOT own_headers)
            message(STATUS "mfp: … these are TensorRT's headers: plans are built, not run; TensorRT for RTX has its own")
        endif()
    else()
        set(missing)
        foreach(part HEADERS LIBRARY PARSER)
            if(NOT TensorRT_${part})
                string(TOLOWER ${part} word)
                list(APPEND missing "its ${word}")
            endif()
        endforeach()
        string(REPLACE ";" " and " missing "${missing}")
        message(STATUS "mfp: TensorRT not found, ${missing} missing: say -DTensorRT_ROOT=FOLDER; or take the library from "
                       "a wheel (pip install tensorrt-rtx) and say -DTensorRT_INCLUDE=FOLDER of the headers (include/ of "
                       "https://github.com/NVIDIA/TensorRT)")
    endif()
elseif(MFP_TENSORRT)
    message(STATUS "mfp: TensorRT left out, as there is no CUDA toolkit")
else()
    message(STATUS "mfp: TensorRT left out (MFP_TENSORRT=OFF)")
endif()
