# Configures a project that contains the library, from nothing: with a build type of its own and without.
# Variables: SOURCE, WORK, GENERATOR, COMPILER, PYTHON, ENGINE.
foreach(type "" Debug)
    file(REMOVE_RECURSE ${WORK})
    execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
                            -DCMAKE_BUILD_TYPE=${type} -DMFP_PYTHON=${PYTHON} -DENGINE=${ENGINE}
                    RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "configuring with the build type '${type}' ended with ${status}")
    endif()
endforeach()
