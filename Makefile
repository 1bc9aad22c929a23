# make demo   the main job, on a model and soundscapes made on the spot
# make test   ruff, mypy and the tests
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test clean

demo: .venv/installed
	$(BIN)/python -m benchmarks.demo demo

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

.venv/installed: pyproject.toml
	@echo "Installing into .venv (3 GB, 2 minutes or more)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[convert,dev]'
	touch $@

clean:
	rm -rf .venv demo build wheels *.egg-info
