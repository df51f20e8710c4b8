# Wraps CMake's presets and scripts/; both work without it.
.PHONY: demo test build setup clang format clean

demo: build
	scripts/demo.sh

test: build
	scripts/test.sh

# Installs what is missing, configures and builds. With nothing changed it does nothing and takes seconds.
build: setup
	scripts/build.sh release

setup:
	scripts/setup.sh

# The second compiler, with the thread-safety analysis as errors.
clang: setup
	scripts/build.sh clang

format:
	git ls-files '*.h' '*.cc' | grep -v third_party/ | xargs clang-format -i

clean:
	rm -rf build
