# Every target does its own set-up: all that is needed is Python >= 3.11, make and a package index.
#
#   make demo    the main job on real images, into out/          make lint    ruff, pyright, import-linter
#   make test    the tests                                       make docs    the documentation, warnings are errors
#   make slow    the long tests: 5,000 random programs ...       make bench   the benchmarks

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
UV     := UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow lint format docs bench clean

help:
	@sed -n 's/^#  //p' Makefile

setup: $(READY)

# uv installs exactly what uv.lock says; the stamp makes later runs need no network.
$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tensorprog needs Python >= 3.11; name one with: make PYTHON=/path/to/python $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(UV) sync --frozen --inexact --quiet
	@touch $(READY)

demo: $(READY)
	$(BIN)/tensorprog demo

test: $(READY)
	$(PYTEST) -n 2 --dist worksteal

slow: $(READY)
	$(PYTEST) -n 2 --dist worksteal -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(READY)
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.shelf
	$(BIN)/python -m benchmarks.particles
	$(BIN)/python -m benchmarks.memory

clean:
	rm -rf $(VENV) docs/_build out
