# Everything a developer does, one word each. `make` alone prints this list.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
PARALLEL := -n auto --maxprocesses 4 --dist loadscope

.PHONY: help setup demo test test-all lint types bench clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf 'make %-9s %s\n' "$$name" "$$text"; done

setup: $(READY) ## make .venv with the library and everything its tests need

demo: $(READY) ## learn a map, and put its report and figures in demo/
	$(BIN)/brenier demo --out demo/

test: $(READY) ## run the tests, all but the slow ones
	$(BIN)/pytest $(PARALLEL) -m "not slow"

test-all: $(READY) ## run the tests, the slow ones too
	$(BIN)/pytest $(PARALLEL)

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY) ## check types
	$(BIN)/mypy

bench: ## print the commands that run the benchmarks
	@grep -ls __main__ benchmarks/*.py benchmarks/*/__main__.py | sed -e 's|/__main__\.py$$|.py|' -e 's|^benchmarks/\(.*\)\.py$$|$(BIN)/python -m benchmarks.\1|'

clean: ## remove caches, builds and demo/, but not .venv
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache build demo dist src/*.egg-info
	find . -path ./.venv -prune -o -name __pycache__ -prune -exec rm -rf {} +

# Made once, and again when what it was made from has changed.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
