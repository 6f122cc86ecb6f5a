# The two commands most people need:
#
#   make demo      set-up, then train, convert, classify and compare, in a few minutes
#   make test      set-up, then all tests
#
# Set-up makes .venv and installs the pinned packages of constraints.txt into it; it runs again when
# setup.cfg, pyproject.toml or constraints.txt change. README.md gives the same steps without make.

PYTHON ?= python3.11
VENV ?= .venv
BUILD ?= build
# Arguments for pytest, as in: make test TESTS='tests/convert -k int8'
TESTS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# TensorFlow's start-up notes hide our own words; errors still show.
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
MAKEFLAGS += --no-print-directory

.PHONY: help setup demo test lint wheel release lock clean distclean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:  ## what the targets do
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## make .venv and install everything, as pinned

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@command -v '$(PYTHON)' >/dev/null || { \
	  echo "make: $(PYTHON) is missing; Python 3.11 with venv was expected;" \
	    "apt-get install python3.11-venv, or name yours: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "make: $$('$(PYTHON)' -V) is not the one that constraints.txt was made for; 3.11 was expected;" \
	    "make PYTHON=/path/to/python3.11, or install without make as README.md shows" >&2; exit 1; }
	@echo "==> Setting up $(VENV): about 2 GB, some minutes the first time"
	'$(PYTHON)' -m venv '$(VENV)'
	'$(BIN)/python' -m pip install -c constraints.txt pip setuptools
	'$(BIN)/python' -m pip install -c constraints.txt --no-build-isolation -e '.[all]'
	@touch '$@'

demo: $(INSTALLED)  ## train a small model, convert it, classify pictures, compare float and quantized
	@echo "==> 1/5 Train a small network on handwritten digits"
	'$(BIN)/python' -m train --config nano --out '$(BUILD)'
	@echo "==> 2/5 Convert it: one trained model, five files for small devices"
	'$(BIN)/python' -m convert '$(BUILD)/nano.keras' --out '$(BUILD)'
	@echo "==> 3/5 Write ten test images as pictures"
	'$(BIN)/python' -m train export --split test --limit 10 --out '$(BUILD)/pictures'
	@echo "==> 4/5 Classify them with the int8 model; each name ends in the true digit"
	'$(BIN)/edge-run' classify '$(BUILD)/pictures' --model '$(BUILD)/nano_int8.tflite'
	@echo "==> 5/5 Compare the variants with the float model. All of this is in $(BUILD)/:"
	@echo "      nano.keras  nano_*.tflite                  as trained, and as devices run it"
	@echo "      nano.metrics.json  nano.*.png              how training went"
	@echo "      pictures/                                  what was classified"
	@echo "      report.md  report.json  report.*.png       the comparison that follows"
	'$(BIN)/python' -m benchmarks --models '$(BUILD)'/nano_*.tflite --out '$(BUILD)'
	@echo "(after: source $(BIN)/activate)"

test: $(INSTALLED)  ## run all tests; TESTS='tests/convert -k int8' runs some
	'$(BIN)/python' -m pytest $(TESTS)

lint: $(INSTALLED)  ## ruff and mypy; the tests run both as well
	'$(BIN)/ruff' check .
	'$(BIN)/ruff' format --check .
	'$(BIN)/mypy'

wheel: $(INSTALLED)  ## build dist/edge_runtime-*.whl: the runtime alone, for a device
	'$(BIN)/python' -m build --no-isolation --outdir dist .

# Everything is made aside and moved at the end: a release that fails leaves the last one as it was.
release: $(INSTALLED)  ## train the released model in full and fill models/ and edge_runtime/models/
	rm -rf '$(BUILD)/release'
	'$(BIN)/python' -m train --config seed --out '$(BUILD)/release'
	'$(BIN)/python' -m convert '$(BUILD)/release/seed.keras' --out '$(BUILD)/release'
	'$(BIN)/python' -m benchmarks --models '$(BUILD)/release' --out '$(BUILD)/release'
	'$(BIN)/python' -m benchmarks card --models '$(BUILD)/release'
	mkdir -p models
	mv '$(BUILD)/release/seed_int8.tflite' edge_runtime/models/
	mv '$(BUILD)'/release/* models/

# An install without constraints, in a fresh environment, is what tells whether newer versions work:
# run `make lock`, then `make test`, and commit both or neither.
lock:  ## resolve all packages afresh and write constraints.txt
	rm -rf '$(BUILD)/lock'
	'$(PYTHON)' -m venv '$(BUILD)/lock'
	'$(BUILD)/lock/bin/python' -m pip install --upgrade pip setuptools
	'$(BUILD)/lock/bin/python' -m pip install --no-build-isolation -e '.[all]'
	'$(BUILD)/lock/bin/python' -m pip freeze --all --exclude-editable > '$(BUILD)/lock/frozen.txt'
	{ sed '/^[^#]/,$$d' constraints.txt; cat '$(BUILD)/lock/frozen.txt'; \
	  sed -n 's/^tensorflow[-_]cpu==/tensorflow==/p' '$(BUILD)/lock/frozen.txt'; \
	} > '$(BUILD)/lock/constraints.txt'
	mv '$(BUILD)/lock/constraints.txt' constraints.txt
	rm -rf '$(BUILD)/lock'

clean:  ## remove what commands and tests made, but not .venv
	rm -rf '$(BUILD)' dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove .venv too
	rm -rf '$(VENV)'
