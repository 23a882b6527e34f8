# Each target does its own set-up on a fresh machine, in .venv/. `make` alone prints this list.
# Needs Python 3.11 or newer, a JDK 11 or newer, and the package registries; nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Bound to what the tests need; an explicit limit, so that a hung test ends the run and says where.
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup jar demo test test-all mutants bench lint clean

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

setup: $(READY) jar ## Create .venv, install everything, build the shim's jar

# Installed without build isolation: an isolated build would fetch and unpack Flink's 350 MB of jars
# a second time, only to compile the shim against them.
$(READY): pyproject.toml
	@sh .ci/check-machine "$(PYTHON)"
	@echo "setup: creating $(VENV) (a minute or two: Flink's jars are 350 MB)"
	@"$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade pip setuptools wheel
	@$(BIN)/python -m pip install -q --disable-pip-version-check "hatchling>=1.27" "editables>=0.5" "apache-flink>=2.3,<2.4"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation -e ".[test]"
	@$(BIN)/python -m exactly_once_kusto.emulator.azurite > /dev/null
	@touch $(READY)

jar: $(READY)
	@$(BIN)/python exactly_once_kusto/flink/jvm/build_jar.py

demo: setup ## Stream 336,776 flights through Flink into the emulator, with a kill half way
	@$(BIN)/exactly-once-kusto demo

lint: setup ## ruff, mypy strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# Tests that start JVMs have the machine to themselves: one cluster for all, and real time-outs.
test: lint ## Lint and the tests that fit into 15 minutes
	$(PYTEST) -n 2 --dist loadfile -m "not slow and not flink"
	$(PYTEST) -m "not slow and flink"

test-all: lint ## All tests, those of the road on a directory and on Azurite
	$(PYTEST) --staging both

mutants: setup ## Builds of the sink with one guard removed: each is caught by the simulator
	@$(BIN)/python -m tests.mutants.run

bench: setup ## Speed and memory against the lines that docs/reference/benchmarks.md names
	@$(BIN)/python -m benchmarks.emulator
	@$(BIN)/python -m benchmarks.run

clean: ## Remove what was built and installed
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
