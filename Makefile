# `make demo` and `make test` do all their own set-up in .venv.
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
DEMO_OUT ?= demo-results
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint slow mutants audit docs clean

demo: .venv/installed
	$(BIN)/egno-md demo --out $(DEMO_OUT) --overwrite

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" --cov --cov-report=term

slow: .venv/installed
	$(BIN)/python -m pytest -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

mutants: .venv/mutation-installed
	$(BIN)/python benchmarks/mutants.py

.venv/mutation-installed: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[mutation]"
	@touch $@

audit: .venv/audit-installed
	$(BIN)/pip-audit -r constraints.txt --no-deps --disable-pip

.venv/audit-installed: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[audit]"
	@touch $@

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "egno-md needs Python 3.11 or newer with venv."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@

docs: .venv/docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/docs-installed: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@

clean:
	rm -rf .venv demo-results site mutants
