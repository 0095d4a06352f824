# Installs the library, builds the consumer against it alone, and runs the README's lines where hrnet18.onnx is.
# Variables: BUILD, SOURCE (of the consumer), README, EXAMPLES, WORK, DATA, GENERATOR, COMPILER.
function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "failed: ${ARGN}")
    endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DREADME=${README} -DEXAMPLES=${EXAMPLES} -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${WORK}/build)
foreach(file share/mfp/networks/lite0.onnx share/mfp/networks/lite0_fp16.onnx include/mfp/version.h)
    file(GLOB found ${WORK}/prefix/${file}*)
    if(NOT found)
        message(FATAL_ERROR "expected ${file} in the prefix")
    endif()
endforeach()
if(DATA)
    # in another folder, with a runtime beside it or in its old place
    file(RENAME ${WORK}/prefix ${WORK}/moved)
    run(${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${WORK}/moved/lib:${WORK}/moved/lib64 ${WORK}/build/examples/click lite0 ${DATA}/coffee.ppm
        ${WORK}/mask.pgm +240,130)
    file(RENAME ${WORK}/moved ${WORK}/prefix)
    execute_process(COMMAND ${WORK}/build/readme WORKING_DIRECTORY ${DATA} RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "the README's lines ended with ${status}")
    endif()
endif()
