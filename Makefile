# Two commands do everything on a fresh machine with Python and make: `make demo` and `make test`.

PYTHON ?= python3
BACKBONE ?= hrnet18
CHECKPOINT ?=
VENV := .venv
BIN := $(VENV)/bin
# errors that CUDA returns are what some tests are about
SANITIZED := --report-api-errors no --error-exitcode 1 $(BIN)/python -m pytest -m gpu tests/kernels
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-gpu lint types clean

demo: $(VENV)/demo.stamp
	mkdir -p demo
	$(BIN)/mfp segment engine/sample.jpg --output demo --pos 120,330 --pos 220,110
	$(BIN)/python export/to_onnx.py --backbone $(BACKBONE) --output demo/$(BACKBONE).onnx $(if $(CHECKPOINT),--checkpoint '$(CHECKPOINT)')
	$(BIN)/mfp segment engine/sample.jpg --network demo/$(BACKBONE).onnx --output demo/$(BACKBONE) \
		--pos 120,330 --pos 220,110

test: $(VENV)/dev.stamp
	$(BIN)/pytest

# where a CUDA GPU is at hand; MFP_GRABCUT=FOLDER clicks on all of GrabCut's photographs too
test-gpu: $(VENV)/gpu.stamp
	$(BIN)/pytest -m gpu -rs
	@if command -v compute-sanitizer >/dev/null; then set -ex; \
		compute-sanitizer --tool memcheck $(SANITIZED); compute-sanitizer --tool racecheck $(SANITIZED); \
	else echo "compute-sanitizer is not on PATH: it comes with the CUDA toolkit. The kernels ran without it."; fi

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy cannot follow an editable install of a root package, so it reads an ordinary one
types: $(VENV)/dev.stamp
	rm -rf build
	$(PIP) --no-deps --target build/types .
	MYPYPATH=build/types $(BIN)/mypy -p mfp

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: setup.py constraints.txt | $(VENV)/bin/python
	@echo "installing mfp-engine with its exporter into $(VENV): about 1 GB, PyTorch most of it"
	$(PIP) --editable '.[cpu,export]'
	@touch $@

$(VENV)/dev.stamp: setup.py constraints.txt | $(VENV)/bin/python
	@echo "installing mfp-engine and its development tools into $(VENV): about 2 GB, PyTorch most of it"
	$(PIP) --editable '.[cpu,dev]'
	@touch $@

$(VENV)/gpu.stamp: $(VENV)/dev.stamp
	@echo "installing CuPy into $(VENV): about 200 MB"
	$(PIP) --editable '.[dev,rtx]'
	@touch $@

clean:
	rm -rf $(VENV) build demo *.egg-info
