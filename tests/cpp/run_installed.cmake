# Installs the library, moves the prefix to a path with a blank, builds the consumer against it alone, and where the
# library has a runtime runs the ten lines of docs/cpp.md. Variables: BUILD, SOURCE (of the consumer), PAGE, EXAMPLES, WORK,
# RUNTIMES, GENERATOR, COMPILER.
function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "failed: ${ARGN}")
    endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
file(RENAME ${WORK}/prefix "${WORK}/moved prefix")
foreach(file share/mfp/networks/lite0.onnx share/mfp/networks/lite0_fp16.onnx include/mfp/version.h)
    if(NOT EXISTS "${WORK}/moved prefix/${file}")
        message(FATAL_ERROR "expected ${file} in the prefix")
    endif()
endforeach()
run(${CMAKE_COMMAND} -S ${SOURCE} -B "${WORK}/a build" -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    "-DCMAKE_PREFIX_PATH=${WORK}/moved prefix" -DPAGE=${PAGE} -DEXAMPLES=${EXAMPLES} -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build "${WORK}/a build")
if(RUNTIMES)
    execute_process(COMMAND "${WORK}/a build/ten_lines" WORKING_DIRECTORY ${WORK} RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "the ten lines of ${PAGE} ended with ${status}")
    endif()
endif()
