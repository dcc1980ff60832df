# The one task list. `make demo` and `make test` make their own environment in .venv and need nothing else installed.
#
#   TORCH=cpu   the CPU build of torch where pip can find it, otherwise the ordinary build (default)
#   TORCH=cuda  the ordinary build, which on Linux brings CUDA
#   PYTHON=...  the Python (3.11 or newer) to make the environment with

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev demo reproduce test test-long test-gpu test-slurm bench lint format docs lock clean

PYTHON ?= python3
TORCH ?= cpu
TORCH_VERSION := 2.13.0
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
IN_VENV := PATH="$(BIN):$$PATH"

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/run-installed $(VENV)/torch-$(TORCH)-installed $(VENV)/brainsr-installed  ## make the environment that the workflow runs in

setup-dev: setup $(VENV)/dev-installed  ## and what the checks and tests need

demo: setup  ## run config.yaml and print the verdict
	$(IN_VENV) python -m pipeline run
	$(IN_VENV) python -m pipeline table demo

# RUN is the folder of a run, or its name; INTO is the folder in which it is repeated. Downloads are shared.
RUN ?= demo

reproduce: setup  ## repeat a run from its provenance and compare: make reproduce RUN=results/demo
	$(IN_VENV) python -m pipeline reproduce "$(RUN)" $(if $(INTO),--into "$(INTO)")

test: lint  ## every check, and every test that fits in 30 minutes
	$(IN_VENV) python -m pytest

test-long: setup-dev  ## the tests that take longer
	$(IN_VENV) python -m pytest -m long

test-gpu: setup-dev  ## what a GPU computes, against the processor; needs one (make setup TORCH=cuda)
	$(IN_VENV) python -m pytest -m gpu

test-slurm: setup-dev  ## a run through a real Slurm, and what goes wrong there (as root, with slurm-wlm and munge installed)
	$(IN_VENV) python -m pytest -m slurm tests/slurm

bench: setup-dev  ## speed against peers, and docs/performance.md; after make demo, on an idle machine
	$(IN_VENV) python -m benchmarks.performance

lint: setup-dev  ## style, types, spelling, and snakemake's own linter
	$(IN_VENV) ruff check pipeline tests benchmarks
	$(IN_VENV) ruff format --check pipeline tests benchmarks
	$(IN_VENV) pyright
	$(IN_VENV) snakefmt --check --compact-diff Snakefile workflow
	$(IN_VENV) codespell
	$(IN_VENV) snakemake --lint

format: setup-dev  ## let the formatters have their way
	$(IN_VENV) ruff check --fix pipeline tests benchmarks
	$(IN_VENV) ruff format pipeline tests benchmarks
	$(IN_VENV) snakefmt Snakefile workflow

docs: setup  ## generate config.yaml and its schema from the typed configuration
	$(IN_VENV) python -m pipeline configure --write

lock: setup-dev  ## choose the newest versions that fit together, for every supported Python
	$(PIP) install --quiet uv
	for name in run dev; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --override requirements/overrides.txt --no-emit-package torch --no-emit-package openvino-telemetry \
	  requirements/$$name.in -o requirements/$$name.lock; done

clean:  ## remove the environment; results and downloads stay
	rm -rf "$(VENV)"

# The locks name every package, so that pip need not look for dependencies; of torch, which is no part of them, it would.
$(VENV)/run-installed: requirements/run.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $$($(PYTHON) --version) is too old; name Python 3.11 or newer: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv "$(VENV)"
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/run.lock
	@touch "$@"

$(VENV)/dev-installed: requirements/dev.lock $(VENV)/run-installed
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/dev.lock
	@touch "$@"

# Metadata and the command `brainsr`; the package itself is used from this checkout.
$(VENV)/brainsr-installed: pyproject.toml pipeline/__init__.py $(VENV)/run-installed
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch "$@"

# torch's own requirements are part of run.lock. The ordinary build for Linux needs CUDA's packages on top.
$(VENV)/torch-cpu-installed: $(VENV)/run-installed
	$(PIP) install --quiet --no-deps "torch==$(TORCH_VERSION)+cpu" 2>/dev/null \
	  || $(PIP) install --quiet "torch==$(TORCH_VERSION)"
	@rm -f $(VENV)/torch-*-installed && touch "$@"

$(VENV)/torch-cuda-installed: $(VENV)/run-installed
	$(PIP) install --quiet "torch==$(TORCH_VERSION)"
	@rm -f $(VENV)/torch-*-installed && touch "$@"
