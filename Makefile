# Wraps CMake's presets and scripts/; both work without it.
.PHONY: demo test test-cluster check build cuda bench quality setup clang asan tsan fuzz nemesis soak format clean

demo: setup
	scripts/build.sh release unmask unmask-coordinator unmask-worker
	scripts/demo.sh

test: build
	scripts/setup.sh page || echo "Without Chromium the test of the page is skipped."
	scripts/test.sh

# The chart on a real control plane, and on a real kubelet with our image (docs/kubernetes.md). Builds Kubernetes once.
test-cluster: build
	scripts/setup.sh cluster
	scripts/test-cluster.sh $(LEVELS)

# Fuzzing and sanitizers in their short form, or some of them: CHECKS="fuzz".
check:
	scripts/setup.sh clang
	scripts/check.sh $(CHECKS)

# Installs what is missing, configures and builds. With nothing changed it does nothing and takes seconds.
build: setup
	scripts/build.sh release

# The same with the CUDA backend, under build/cuda/bin; needs no GPU. nvcc is the machine's, or NVIDIA's wheels.
cuda:
	scripts/setup.sh cuda
	scripts/cuda.sh

setup:
	scripts/setup.sh

# Ratios measured side by side; build/bench/report.md. Peers are fetched into build/peers, a missing one is reported.
bench: setup
	scripts/bench.sh

# What the embedded model can do, measured through a running service; writes docs/quality.md. QUALITY_PROBLEMS, QUALITY_GRID.
quality: build
	scripts/quality.sh

# The second compiler, with the thread-safety analysis as errors.
clang:
	scripts/setup.sh clang
	scripts/build.sh clang

# All tests under AddressSanitizer and UndefinedBehaviorSanitizer, or under ThreadSanitizer.
asan:
	scripts/setup.sh clang
	scripts/sanitize.sh asan all

tsan:
	scripts/setup.sh clang
	scripts/sanitize.sh tsan all

# A long search with libFuzzer: ten minutes a target, or FUZZ_SECONDS. `make check` has a short one.
fuzz:
	scripts/setup.sh clang
	scripts/fuzz.sh $(or $(FUZZ_SECONDS),600)

# The long forms of tests/reliability (docs/reliability.md): faults for half an hour or NEMESIS_SECONDS, and load for a
# quarter of one or SOAK_SECONDS. UNMASK_SEED repeats a run.
nemesis: build
	UNMASK_NEMESIS_SECONDS=$(or $(NEMESIS_SECONDS),1800) scripts/reliability.sh nemesis_test failover_test hang_test \
	  poison_test coordinator_death_test partition_test two_hosts_test clock_test

soak: build
	UNMASK_SOAK_SECONDS=$(or $(SOAK_SECONDS),900) scripts/reliability.sh overload_test clients_test

format:
	git ls-files '*.h' '*.cc' | grep -v third_party/ | xargs clang-format -i

clean:
	rm -rf build
