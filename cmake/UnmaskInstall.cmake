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
