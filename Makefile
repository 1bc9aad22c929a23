# make demo   the main job, on a model and soundscapes made on the spot; with Perch v2: make demo MODEL=v2
# make test   ruff, mypy, import-linter and the tests
# make stress full-size cases: 20 minutes, 12 GB of scratch space; one of them: make stress CASE=kills
# make results  benchmarks/RESULTS.md and its plots, measured on this machine: an hour
PYTHON ?= python3
MODEL ?= v1
BIN := .venv/bin

.PHONY: demo test stress results clean

demo: .venv/installed
	$(BIN)/python -m benchmarks.demo --model $(MODEL)

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses 2 --dist loadscope -m 'not alone'
	$(BIN)/pytest -m alone

stress: .venv/installed
	$(BIN)/python -m benchmarks.stress $(CASE)

results: .venv/installed
	$(BIN)/python -m benchmarks.results

.venv/installed: pyproject.toml
	@echo "Installing into .venv (3 GB, 2 minutes or more)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[convert,analysis,benchmarks,dev]'
	touch $@

clean:
	rm -rf .venv demo build wheels *.egg-info
