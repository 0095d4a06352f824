# Two commands do everything on a fresh machine with Python and make: `make demo` and `make test`.

PYTHON ?= python3
BACKBONE ?= hrnet18
CHECKPOINT ?=
VENV := .venv
BIN := $(VENV)/bin
ROOMS := kernels engine export training serve bench cli
# errors that CUDA returns are what some tests are about
SANITIZED := --report-api-errors no --error-exitcode 1 $(BIN)/python -m pytest -m gpu tests/kernels
PYTEST := $(BIN)/pytest --numprocesses 2 --dist worksteal --durations 15
CMAKE := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cmake
CTEST := $(BIN)/ctest --output-on-failure --parallel 2 --test-dir
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-processors test-slow test-gpu test-triton test-tools cpp cpp-build cpp-sanitized lint types docs dev-path clean help

demo: $(VENV)/demo.stamp ## install, then segment the sample with lite0 and an exported network
	mkdir -p demo
	$(BIN)/mfp segment engine/sample.jpg --output demo --pos 120,330 --pos 220,110
	$(BIN)/python export/to_onnx.py --backbone $(BACKBONE) --output demo/$(BACKBONE).onnx $(if $(CHECKPOINT),--checkpoint '$(CHECKPOINT)')
	$(BIN)/mfp segment engine/sample.jpg --network demo/$(BACKBONE).onnx --output demo/$(BACKBONE) \
		--pos 120,330 --pos 220,110

test: $(VENV)/dev.stamp ## run the tests, and those of the C++ library if there is a compiler
	$(PYTEST)
	@if command -v $(CXX) >/dev/null; then set -x; $(MAKE) cpp-build && $(CTEST) build/cpp -LE slow; \
	else echo "the engine in C++ was left out: there is no $(CXX); install it, or say make test CXX=clang++"; fi

# the numeric tests with PyTorch, NumPy and OpenVINO held to older instruction sets, as on older processors
test-processors: $(VENV)/dev.stamp ## run the numeric tests with libraries limited to older instruction sets
	$(BIN)/python tests/processors.py --numprocesses 2 --dist worksteal --durations 5

# what `make test` leaves out
test-slow: $(VENV)/dev.stamp ## run what `make test` leaves out: largest networks, servers on Ray
	$(PYTEST) -m slow
	@if command -v $(CXX) >/dev/null; then set -x; \
		$(MAKE) cpp-build build/cpp-networks.stamp && $(CTEST) build/cpp -L slow; fi

# programs of the system that tests drive, command:package of Debian; tests of what is missing are skipped, with the reason
TOOLS := redis-server:redis-server redis-cli:redis-tools nginx:nginx-light caddy:caddy faketime:faketime sqlite3:sqlite3 \
	openssl:openssl strace:strace
test-tools: ## install or list the programs that tests drive (redis, nginx, …)
	@missing=""; command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="chromium"; \
	for tool in $(TOOLS); do command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool##*:}"; done; \
	if [ -z "$$missing" ]; then echo "all programs that tests drive are here"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends $$missing; then echo "installed:$$missing"; \
	else echo "please install:$$missing. Without, tests that need them are skipped"; fi

# where a CUDA GPU is at hand; MFP_GRABCUT=FOLDER clicks on all of GrabCut's photographs too
test-gpu: $(VENV)/gpu.stamp ## run the GPU tests, then compute-sanitizer; needs a CUDA GPU
	$(BIN)/pytest -m gpu -rs
	@if command -v compute-sanitizer >/dev/null; then set -ex; \
		compute-sanitizer --tool memcheck $(SANITIZED); compute-sanitizer --tool racecheck $(SANITIZED); \
	else echo "compute-sanitizer is not on PATH: it comes with the CUDA toolkit. The kernels ran without it."; fi

# the click in NVIDIA Triton; its server comes in a package that needs NumPy 1, so in an environment of its own
test-triton: build/triton.stamp ## run the click in NVIDIA Triton, in its own environment
	MFP_TRITON_PYTHON=$(CURDIR)/build/triton/bin/python $(BIN)/pytest -m slow tests/serve/triton

# the engine in C++: configures, builds and tests it, with OpenVINO of the environment and the three real networks
cpp: cpp-build build/cpp-networks.stamp ## build the C++ library and run all of its tests
	$(CTEST) build/cpp

cpp-build: build/cpp-data.stamp ## only build the C++ library, in build/cpp
	$(CMAKE) -S engine/cpp -B build/cpp -G Ninja -DMFP_PYTHON=$(CURDIR)/$(BIN)/python -DMFP_TEST_DATA=$(CURDIR)/build/cpp-data
	$(CMAKE) --build build/cpp

# AddressSanitizer and UBSan on everything, ThreadSanitizer on the threads
cpp-sanitized: build/cpp-tools.stamp ## run the C++ tests under AddressSanitizer, UBSan and ThreadSanitizer
	$(CMAKE) -S engine/cpp -B build/cpp-asan -G Ninja -DMFP_PYTHON=$(CURDIR)/$(BIN)/python -DMFP_EXAMPLES=OFF \
		-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-O1 -DMFP_SANITIZE=address,undefined
	$(CMAKE) --build build/cpp-asan
	$(CTEST) build/cpp-asan
	$(CMAKE) -S engine/cpp -B build/cpp-tsan -G Ninja -DMFP_PYTHON=$(CURDIR)/$(BIN)/python -DMFP_EXAMPLES=OFF \
		-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-O1 -DMFP_SANITIZE=thread
	$(CMAKE) --build build/cpp-tsan --target test_threads test_device
	$(CTEST) build/cpp-tsan -R 'threads|device'

lint: $(VENV)/dev.stamp ## check style and format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp ## check types with mypy
	MYPYPATH=build/dev $(BIN)/mypy -m mfp $(ROOMS:%=-p mfp.%)

# --strict: a link, anchor or picture that leads nowhere, or a page outside the navigation, is an error; not with --quiet
docs: $(VENV)/docs.stamp ## build the documentation site in build/site
	rm -rf build/docs
	mkdir -p build/docs/mfp  # of the rooms only: the reference's reader would follow build/dev/mfp in circles
	ln -s $(addprefix ../../../,__init__.py $(ROOMS)) build/docs/mfp/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "the site is build/site/index.html"

# The folder in which editors, type checkers and Python find `mfp`: none but Python follows an editable install of a
# package that is its repository's root.
dev-path: $(VENV)/bin/python ## let editors and type checkers find `mfp` (part of the development install)
	@mkdir -p build/dev
	@ln -sfn ../.. build/dev/mfp
	@echo '$(CURDIR)/build/dev' > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mfp-dev.pth"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: setup.py constraints.txt | $(VENV)/bin/python
	@echo "installing mfp-engine with its exporter into $(VENV): about 1 GB, PyTorch most of it"
	$(PIP) --editable '.[cpu,export]'
	@$(MAKE) --no-print-directory dev-path
	@touch $@

$(VENV)/dev.stamp: setup.py constraints.txt | $(VENV)/bin/python
	@echo "installing mfp-engine and its development tools into $(VENV): about 2 GB, PyTorch most of it"
	$(PIP) --editable '.[cpu,dev]'
	@$(MAKE) --no-print-directory dev-path
	@touch $@

$(VENV)/gpu.stamp: $(VENV)/dev.stamp
	@echo "installing CuPy into $(VENV): about 200 MB"
	$(PIP) --editable '.[dev,rtx]'
	@touch $@

$(VENV)/docs.stamp: setup.py constraints.txt | $(VENV)/bin/python
	@echo "installing mfp-engine and MkDocs into $(VENV): about 450 MB"
	$(PIP) --editable '.[docs]'
	@$(MAKE) --no-print-directory dev-path
	@touch $@

build/triton.stamp: $(VENV)/dev.stamp
	$(PYTHON) -m venv build/triton
	build/triton/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[cpu]' 'numpy<2' 'nvidia-pytriton>=0.7'
	@touch $@

# CMake and Ninja, into the environment: not every system has them, or has them new enough
build/cpp-tools.stamp: $(VENV)/dev.stamp
	$(PIP) 'cmake>=3.22,<4' ninja
	mkdir -p build
	@touch $@

build/cpp-data.stamp: build/cpp-tools.stamp tests/cpp/make_data.py
	$(BIN)/python tests/cpp/make_data.py build/cpp-data
	@touch $@

build/cpp-networks.stamp: build/cpp-data.stamp
	$(BIN)/python tests/cpp/make_data.py build/cpp-data networks
	@touch $@

clean: ## remove .venv, build/ and demo/
	rm -rf $(VENV) build demo *.egg-info

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
