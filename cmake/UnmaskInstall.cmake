# `cmake --install build --prefix /usr`: what runs, and what clients need. Programs look for ../share/unmask beside them.
install(TARGETS unmask unmask-coordinator unmask-worker RUNTIME DESTINATION bin)
install(FILES ${CMAKE_BINARY_DIR}/share/unmask.protoset DESTINATION share/unmask)
install(DIRECTORY proto/unmask/v1 DESTINATION share/unmask/proto/unmask FILES_MATCHING PATTERN "*.proto")
install(FILES text/rust/Cargo.lock DESTINATION share/unmask)
# The embedded model; before there is one, a build may put a random checkpoint there (scripts/image.sh).
foreach(model models/demo ${CMAKE_BINARY_DIR}/random-model)
  if(NOT IS_ABSOLUTE ${model})
    set(model ${CMAKE_SOURCE_DIR}/${model})
  endif()
  install(CODE "
    if(EXISTS \"${model}/config.json\" AND NOT unmask_model_installed)
      set(unmask_model_installed TRUE)
      file(INSTALL \"${model}/\" DESTINATION \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/unmask/models/demo\")
    endif()")
endforeach()

# Over it, `cmake --install build --component cuda` puts the worker that has CUDA, and what it links of NVIDIA's.
if(UNMASK_CUDA)
  install(TARGETS unmask-worker-cuda RUNTIME DESTINATION bin COMPONENT cuda EXCLUDE_FROM_ALL)
  install(CODE "
    file(GET_RUNTIME_DEPENDENCIES EXECUTABLES \"$<TARGET_FILE:unmask-worker-cuda>\" RESOLVED_DEPENDENCIES_VAR libraries
      UNRESOLVED_DEPENDENCIES_VAR missing PRE_INCLUDE_REGEXES libcublasLt libnccl PRE_EXCLUDE_REGEXES .)
    if(missing OR NOT libraries)
      message(FATAL_ERROR \"These libraries are not there: \${missing}\")
    endif()
    foreach(library IN LISTS libraries)  # By the name that programs ask for, whatever file that leads to.
      cmake_path(GET library FILENAME name)
      file(REAL_PATH \${library} library)
      file(INSTALL \${library} DESTINATION \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/unmask\" RENAME \${name})
    endforeach()" COMPONENT cuda EXCLUDE_FROM_ALL)
endif()
