# The project's five words. They need Python 3.11 to 3.13 and make, nothing else.
#
#   make train   set up, then train on the real digits that come with scikit-learn (a few minutes on two cores)
#   make test    set up, then run the tests, on all of up to four cores (TEST="-n 0": in one process)
#   make lint    set up, then check format, style and types
#   make docs    set up, then build the documentation as a site in build/site
#   make bench   set up, then measure speed against other libraries (their environment is one of its own)
#
# PYTHON=python3.12 chooses another Python; options go through: make train TRAIN="--dataset mnist --circuit 4b-9q".

fits = $(shell $(1) -c 'import sys; print("yes" if (3, 11) <= sys.version_info < (3, 14) else "")' 2>/dev/null)
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(if $(call fits,$(name)),$(name))) python3)
VENV ?= .venv
BENCH_VENV ?= .venv-bench
BIN := $(VENV)/bin
PIP := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
TESTERS ?= $(shell $(BIN)/python -c 'import os; print(min(os.cpu_count() or 1, 4) + 1)')  # one more: many tests wait
TRAIN ?=
TEST ?=
BENCH ?=

.PHONY: train test lint docs bench clean

train: $(VENV)/.set-up
	$(BIN)/sqdr-qiskit train $(TRAIN)

test: $(VENV)/.set-up-dev
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal $(TEST)

lint: $(VENV)/.set-up-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.set-up-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "Open build/site/index.html"

bench: $(BENCH_VENV)/.set-up
	$(BENCH_VENV)/bin/python -m benchmarks.run --json runs/bench.json --markdown runs/bench.md $(BENCH)
	$(BENCH_VENV)/bin/python -m benchmarks.tutorials | tee runs/tutorials.md

# Each runs once, and again when what is to be installed changes. The stamp is written last: a broken set-up is redone.
$(VENV)/.set-up: pyproject.toml constraints.txt
	@$(if $(call fits,$(PYTHON)),,echo "error: Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=..."; exit 2)
	@echo "Setting up $(VENV) (once; downloads PyTorch and Qiskit) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) --editable .
	@touch $@

$(VENV)/.set-up-dev: $(VENV)/.set-up
	@$(BIN)/python $(PIP) --editable '.[dev,grid,tensorboard]'
	@touch $@

$(VENV)/.set-up-docs: $(VENV)/.set-up
	@$(BIN)/python $(PIP) --editable '.[docs]'
	@touch $@

$(BENCH_VENV)/.set-up: pyproject.toml constraints.txt
	@echo "Setting up $(BENCH_VENV) (once; downloads the other libraries) ..."
	@$(PYTHON) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python $(PIP) --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist .mypy_cache .pytest_cache .ruff_cache
