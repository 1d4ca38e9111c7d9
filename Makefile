# make demo: the main job, from a fresh checkout.  make test: every test.  Nothing else is ever needed first.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

RUN := .venv/bin
# Four workers on two cores: some tests wait, for the compiler or for processes of their own.
PYTEST_ARGS ?= -n 4

# The first Python that the project supports.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
    if $$p -c '$(FITS)' >/dev/null 2>&1; then echo $$p; break; fi; done)

# An environment is made anew where it was interrupted, came from another checkout, or lost its Python.
MADE_HERE := $(shell [ "$$(cat .venv/.python 2>/dev/null)" = "$(CURDIR)" ] \
    && $(RUN)/python -m pip --version >/dev/null 2>&1 && echo yes)
ifneq ($(MADE_HERE),yes)
.PHONY: .venv/.python
endif

.PHONY: help demo test dev lint types bench clean

help:
	@echo "make demo    reproduce every figure of the paper into out/fusemax"
	@echo "make test    run every test"
	@echo "make lint    check style and format       make types   check types"
	@echo "make bench   measure speed                make clean   remove all that was made"

demo: .venv/.core
	$(RUN)/einfuse reproduce fusemax --out out/fusemax
	@echo
	@echo "The page with every figure: $(CURDIR)/out/fusemax/index.html"

test: dev
	$(RUN)/python -m pytest $(PYTEST_ARGS)

dev: .venv/.dev

lint: dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

types: dev
	$(RUN)/mypy

bench: dev
	@for script in benchmarks/*.py; do echo "== $$script"; $(RUN)/python "$$script"; done

clean:
	rm -rf .venv out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: what is installed, as of which pyproject.toml.
.venv/.python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found: name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	@echo "$(CURDIR)" > $@

.venv/.core: .venv/.python pyproject.toml
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

# The development environment holds the core, so it stamps both. Triton comes with its own torch unless torch is named.
.venv/.dev: .venv/.python pyproject.toml constraints.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch -e '.[kernels,dev]'
	@touch .venv/.core $@
