# Everything a person does with this checkout. `make` alone lists it.
# The virtual environment .venv is made and refreshed by itself; PYTHON chooses the interpreter (3.11 or later).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
export PYTHON
BIN := .venv/bin
SETUP := dev/setup.sh
SETUP_INPUTS := $(SETUP) pyproject.toml constraints-test.txt

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.ready-%: $(SETUP_INPUTS)
	@$(SETUP) $*

.PHONY: demo
demo: .venv/.ready-run ## Search the catalog and render NDVI pictures through Airflow, once (sandbox, or your account)
	@$(BIN)/python dev/demo.py

.PHONY: demo-fields
demo-fields: .venv/.ready-run ## Weekly NDVI statistics of fields through Airflow, once: a Parquet table and a chart
	@$(BIN)/python dev/demo.py fields

.PHONY: up
up: .venv/.ready-run ## Airflow with the connection and the example DAGs in place; ctrl-C ends it
	@$(BIN)/python dev/up.py

.PHONY: check
check: .venv/.ready-dev ## Style, format, types and the arrows between the modules
	@echo "== ruff check" && $(BIN)/ruff check
	@echo "== ruff format" && $(BIN)/ruff format --check
	@echo "== mypy --strict" && $(BIN)/mypy
	@echo "== import-linter" && $(BIN)/lint-imports --no-cache --no-logo

.PHONY: test
test: check ## All checks, then the unit, contract and integration tests
	@# Without bytecode each process of a test would compile what it imports, and pytest all tests, anew.
	@echo "== pytest" && env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n auto --dist loadfile $(PYTEST_ARGS)

.PHONY: test-e2e
test-e2e: .venv/.ready-dev .venv/.ready-docs ## The built package in real Airflows (3.1, 3.2, 3.3) and a real browser; takes minutes
	@$(BIN)/pytest -n 2 --dist loadfile tests/system tests/ui $(PYTEST_ARGS)

.PHONY: bench
bench: .venv/.ready-dev ## The speed figures
	@$(BIN)/python -m benchmarks

.PHONY: docs
docs: .venv/.ready-docs ## The documentation, as HTML in docs/_build/html
	@$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

.PHONY: build
build: .venv/.ready-dev ## Wheel and sdist in dist/, checked
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist
	@$(BIN)/twine check --strict dist/*

.PHONY: release-check
release-check: .venv/.ready-dev ## Whether this commit can be released: sdist and wheel beside each Airflow, changelog, licences
	@rm -rf .venvs
	@$(BIN)/pytest -v tests/release tests/system/test_distributions.py tests/system/test_registration.py $(PYTEST_ARGS)

.PHONY: format
format: .venv/.ready-dev ## Format the code and apply safe fixes
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: clean
clean: ## Remove everything that the other targets made
	@rm -rf .venv .venvs .demo .up artifacts build dist docs/_build docs/reference/classes *.egg-info \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
