# All tasks of the project. Targets create the environment .venv if necessary; nothing else needs to be installed.
#
#   TORCH=cpu   CPU build of torch if pip finds it, otherwise the standard build (default)
#   TORCH=cuda  standard build, which includes CUDA on Linux
#   PYTHON=...  Python (3.11 or newer) for the environment

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev install demo reproduce zoo test test-long test-gpu test-slurm bench lint format config docs lock clean

PYTHON ?= python3
TORCH ?= cpu
TORCH_VERSION := 2.13.0
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
IN_VENV := PATH="$(BIN):$$PATH"

help:  ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/run-installed $(VENV)/torch-$(TORCH)-installed $(VENV)/brainsr-installed  ## create the environment of the workflow

setup-dev: setup $(VENV)/dev-installed  ## also install the packages for checks and tests

# The container images are built with this.
install: $(VENV)/run-installed $(VENV)/torch-$(TORCH)-installed  ## install into another environment, without a link to this checkout: make install VENV=/opt/brainsr
	$(PIP) install --quiet --no-deps --no-build-isolation .

demo: setup  ## run config.yaml and print the verdict
	$(IN_VENV) python -m pipeline run
	$(IN_VENV) python -m pipeline table demo

# RUN is the folder or name of a run; INTO is the folder in which it is repeated. Downloads are shared.
RUN ?= demo

reproduce: setup  ## repeat a run from its provenance and compare: make reproduce RUN=results/demo
	$(IN_VENV) python -m pipeline reproduce "$(RUN)" $(if $(INTO),--into "$(INTO)")

# Interrupted trainings continue. See docs/networks.md for the measurement and the commit of the weights.
NETWORK ?= mri-x4

zoo: setup  ## train a network that ships: make zoo NETWORK=mri-x4
	$(IN_VENV) python -m pipeline run --configfile examples/zoo/$(NETWORK).yaml networks

test: lint docs  ## run all checks, and all tests that fit into 30 minutes
	$(IN_VENV) python -m pytest -n logical --maxprocesses 4

test-long: setup-dev  ## run the tests that take longer
	$(IN_VENV) python -m pytest -m long

test-gpu: setup-dev  ## compare GPU and CPU results; needs a GPU (make setup TORCH=cuda)
	$(IN_VENV) python -m pytest -m gpu

test-slurm: setup-dev  ## run the workflow on a local Slurm with simulated failures (needs root, slurm-wlm and munge)
	$(IN_VENV) python -m pytest -m slurm tests/slurm

bench: setup-dev  ## run the speed benchmarks and write docs/performance.md (after make demo, on an idle machine)
	$(IN_VENV) python -m benchmarks.performance

lint: setup-dev  ## check style, types and spelling, and run snakemake --lint
	$(IN_VENV) ruff check pipeline tests benchmarks requirements docs/*.py
	$(IN_VENV) ruff format --check pipeline tests benchmarks requirements docs/*.py
	$(IN_VENV) pyright
	$(IN_VENV) snakefmt --check --compact-diff Snakefile workflow
	$(IN_VENV) codespell
	$(IN_VENV) hadolint Dockerfile
	$(IN_VENV) snakemake --lint

format: setup-dev  ## format the code
	$(IN_VENV) ruff check --fix pipeline tests benchmarks requirements docs/*.py
	$(IN_VENV) ruff format pipeline tests benchmarks requirements docs/*.py
	$(IN_VENV) snakefmt Snakefile workflow

config: setup  ## generate config.yaml and its schema from the typed configuration
	$(IN_VENV) python -m pipeline configure --write

docs: setup $(VENV)/docs-installed  ## build the documentation site in site/; warnings and broken links are errors
	$(IN_VENV) python -m sphinx --builder html --fail-on-warning --keep-going --fresh-env --jobs auto --quiet docs site

lock: setup-dev  ## update the lock files to the newest compatible versions, for all supported Python versions
	$(PIP) install --quiet uv
	for name in run dev docs; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --override requirements/overrides.txt --no-emit-package torch --no-emit-package openvino-telemetry \
	  requirements/$$name.in -o requirements/$$name.lock; done

clean:  ## remove the environment; results and downloads are kept
	rm -rf "$(VENV)"

# The lock files list every package except torch, so pip does not need to resolve dependencies.
$(VENV)/run-installed: requirements/run.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $$($(PYTHON) --version) is too old; specify Python 3.11 or newer: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv "$(VENV)"
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/run.lock
	@touch "$@"

$(VENV)/dev-installed: requirements/dev.lock $(VENV)/run-installed
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/dev.lock
	@touch "$@"

$(VENV)/docs-installed: requirements/docs.lock $(VENV)/run-installed
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/docs.lock
	@touch "$@"

# Metadata and the command `brainsr`; the package itself is used from this checkout.
$(VENV)/brainsr-installed: pyproject.toml requirements/hatch_build.py pipeline/__init__.py $(VENV)/run-installed
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch "$@"

# The requirements of torch are part of run.lock. The standard build for Linux also needs the CUDA packages.
$(VENV)/torch-cpu-installed: $(VENV)/run-installed
	$(PIP) install --quiet --no-deps "torch==$(TORCH_VERSION)+cpu" 2>/dev/null \
	  || $(PIP) install --quiet "torch==$(TORCH_VERSION)"
	@rm -f $(VENV)/torch-*-installed && touch "$@"

$(VENV)/torch-cuda-installed: $(VENV)/run-installed
	$(PIP) install --quiet "torch==$(TORCH_VERSION)"
	@rm -f $(VENV)/torch-*-installed && touch "$@"
