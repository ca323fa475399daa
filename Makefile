# Needs Python >= 3.11 and make. Everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLYARD_ARGS ?=
OVERLOAD_ARGS ?=
SOAK_ARGS ?=
CHAOS_ARGS ?=

.PHONY: up test check fast conformance e2e bench bench-all bench-quick overload soak chaos fuzz clean

up: $(VENV)/.installed
	@$(BIN)/toolyard up $(TOOLYARD_ARGS)

# All tests: what `check` runs, then those with real servers, real clients and the official conformance suite.
test: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Format, lint, types, import rules, fast tests: under a minute.
check: $(VENV)/.dev-installed
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(MAKE) --no-print-directory fast

fast: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

conformance: $(VENV)/.dev-installed
	$(BIN)/python -m pytest tests/conformance

e2e: $(VENV)/.dev-installed
	$(BIN)/python -m pytest tests/e2e

# Side by side with nginx, HAProxy and the peers, which it installs into bench/.peers: at most 25 minutes.
bench: $(VENV)/.dev-installed
	$(BIN)/python -m bench core
	$(BIN)/python -m bench.administration

# Everything there is to measure: some hours.
bench-all: $(VENV)/.dev-installed
	$(BIN)/python -m bench all

# Toolyard and nginx only: under two minutes.
bench-quick: $(VENV)/.dev-installed
	$(BIN)/python -m bench quick

# Ten times what can be served, a slow upstream, a greedy caller, thousands of idle clients: some minutes.
overload: $(VENV)/.dev-installed
	$(BIN)/python -m bench.overload $(OVERLOAD_ARGS)

# Half an hour of everything, then five minutes of ten changes a second; shorter: make soak SOAK_ARGS='--minutes 2'.
soak: $(VENV)/.dev-installed
	$(BIN)/python -m bench.soak $(SOAK_ARGS)
	$(BIN)/python -m bench.changes

# kill -9 fifty times during 2,000 administrative writes; fewer: make chaos CHAOS_ARGS='--kills 5 --writes 200'.
chaos: $(VENV)/.dev-installed
	$(BIN)/python -m bench.chaos $(CHAOS_ARGS)

fuzz: $(VENV)/.dev-installed
	$(BIN)/python tests/fuzz/fuzz_decode.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Toolyard needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Say which with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	@echo "Installing Toolyard into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev-installed: $(VENV)/bin/python pyproject.toml
	@echo "Installing Toolyard with its development tools into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .venvs .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
