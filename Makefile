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
# What `make release` makes anew, as in: make release RELEASED=nano
RELEASED ?= seed digits nano

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ASIDE := $(BUILD)/release
# Two with different seeds: the mean of their answers errs less than either.
TEACHERS := models/teacher/teacher.keras models/teacher/teacher-2.keras
# TensorFlow's start-up notes hide our own words; errors still show.
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
MAKEFLAGS += --no-print-directory

.PHONY: help setup demo test lint wheel release teacher lock clean distclean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Steps of a release are kept, and none runs while another is being timed.
.SECONDARY:
.NOTPARALLEL:

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
	'$(BIN)/python' -m train --config train/demo.json --out '$(BUILD)'
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
# Each step leaves a mark, so that `make release` after an interruption goes on where it stopped.
release: $(RELEASED:%=$(ASIDE)/%/.described)  ## retrain the released models, fill models/ and edge_runtime/models/
	rm -rf '$(ASIDE)/models'
	cp -R models '$(ASIDE)/models'
	for name in $(RELEASED); do \
	  mkdir -p "$(ASIDE)/models/$$name" && \
	  find "$(ASIDE)/models/$$name" -mindepth 1 -maxdepth 1 ! -name seeds -exec rm -rf {} + && \
	  cp -R "$(ASIDE)/$$name"/* "$(ASIDE)/models/$$name/" || exit 1; \
	done
	'$(BIN)/python' -m benchmarks speed --models '$(ASIDE)'/models/*/*_int8.tflite \
	  --baseline '$(ASIDE)/models/seed/seed_int8.tflite' --out '$(ASIDE)/models'
	'$(BIN)/python' -m benchmarks overview --models '$(ASIDE)/models'
	default=$$('$(BIN)/python' -c 'from edge_runtime.models import DEFAULT_NAME; print(DEFAULT_NAME)') && \
	  cp "$(ASIDE)/models/$$default/$${default}_int8.tflite" '$(ASIDE)/'
	mv models '$(ASIDE)/before'
	mv '$(ASIDE)/models' models
	rm -f edge_runtime/models/*.tflite
	mv '$(ASIDE)'/*_int8.tflite edge_runtime/models/
	rm -rf '$(ASIDE)'

$(ASIDE)/%/.trained: | $(INSTALLED)
	'$(BIN)/python' -m train --config $* --resume --out '$(@D)'
	@touch '$@'

$(ASIDE)/%/.converted: $(ASIDE)/%/.trained
	'$(BIN)/python' -m convert '$(@D)/$*.keras' --out '$(@D)'
	@touch '$@'

$(ASIDE)/%/.compared: $(ASIDE)/%/.converted
	'$(BIN)/python' -m benchmarks --models '$(@D)' --out '$(@D)'
	@touch '$@'

$(ASIDE)/%/.probed: $(ASIDE)/%/.compared
	'$(BIN)/python' -m benchmarks robustness --models '$(@D)/$*_int8.tflite' --out '$(@D)'
	@touch '$@'

$(ASIDE)/%/.described: $(ASIDE)/%/.probed
	'$(BIN)/python' -m benchmarks card --models '$(@D)'
	'$(BIN)/python' -m benchmarks seed-record '$(@D)'
	@touch '$@'

# These learn from the teacher, which a release keeps as it is.
$(ASIDE)/digits/.trained $(ASIDE)/nano/.trained: | $(TEACHERS)

# One run makes both.
$(TEACHERS) &:
	@$(MAKE) teacher

teacher: $(INSTALLED)  ## retrain the large networks that digits and nano learn from: under an hour
	for seed in 1 2; do \
	  name=$$([ $$seed = 1 ] && echo teacher || echo teacher-$$seed); \
	  [ -f "$(BUILD)/teacher/$$name.keras" ] || '$(BIN)/python' -m train --config teacher \
	    --name $$name --seed $$seed --resume --out '$(BUILD)/teacher' || exit 1; \
	done
	mkdir -p models/teacher
	mv '$(BUILD)'/teacher/* models/teacher/
	rm -rf '$(BUILD)/teacher'

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
