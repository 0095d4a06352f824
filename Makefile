# Two commands do everything on a fresh machine with Python and make: `make demo` and `make test`.

PYTHON ?= python3
BACKBONE ?= hrnet18
CHECKPOINT ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint types clean

demo: $(VENV)/demo.stamp
	mkdir -p demo
	$(BIN)/python export/to_onnx.py --backbone $(BACKBONE) --output demo/$(BACKBONE).onnx $(if $(CHECKPOINT),--checkpoint '$(CHECKPOINT)')
	$(BIN)/mfp segment engine/sample.jpg --network demo/$(BACKBONE).onnx --output demo \
		--pos 240,130 --pos 300,330 --neg 60,100 --pos 150,420 --neg 440,60 --neg 450,380

test: $(VENV)/dev.stamp
	$(BIN)/pytest

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

clean:
	rm -rf $(VENV) build demo *.egg-info
