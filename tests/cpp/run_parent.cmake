# Configures a project that contains the library, from nothing: with a build type of its own and without. Then compiles
# the public headers and some of the library's sources with the parent's settings: another standard, strict warnings as
# errors, many sources as one.
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

set(targets plain)
if(GENERATOR STREQUAL Ninja)  # where a single file is a target
    foreach(source packaged session)
        list(APPEND targets engine/CMakeFiles/mfp_parts.dir/src/${source}.cpp.o)
    endforeach()
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK} --target ${targets} RESULT_VARIABLE status)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "compiling with the parent's settings ended with ${status}")
endif()
