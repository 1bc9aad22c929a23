# make demo   the main job, on a model and soundscapes made on the spot; with Perch v2: make demo MODEL=v2
# make test   ruff, mypy and import-linter, beside them the tests but for those marked slow, which make stress runs
# make stress full-size cases: an hour or more, 12 GB of scratch space; one of them: make stress CASE=kills,
#             in small: make stress CASE="archive --files 2000"
# make hoplite  databases of embeddings, read by perch-hoplite itself, which is installed into .venv-hoplite/
# make node   the .onnx alone in Node, whose packages are installed into .node/
# make results  docs/results.md and its plots, measured on this machine: an hour
# make docs   the documentation as a site, in site/; make docs-serve shows it while it is written
PYTHON ?= python3
MODEL ?= v1
BIN := .venv/bin

.PHONY: demo test lint pytest stress hoplite node results docs docs-serve clean

demo: .venv/installed
	$(BIN)/python -m benchmarks.demo --model $(MODEL)

test: .venv/installed
	$(MAKE) --no-print-directory --jobs=2 lint pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pytest: .venv/installed
	$(BIN)/pytest --numprocesses 2 --dist loadscope

stress: .venv/installed
	$(BIN)/python -m benchmarks.stress $(CASE)
	$(if $(CASE),,$(BIN)/pytest -m slow)

hoplite: .venv/installed .venv-hoplite/installed
	$(BIN)/pytest tests/runtime/rows/test_hoplite_itself.py

node: .venv/installed .node/installed
	NODE_PATH=$(CURDIR)/.node/node_modules $(BIN)/pytest tests/docs/test_onnx_page.py

results: .venv/installed
	$(BIN)/python -m benchmarks.results

docs: .venv/installed
	$(BIN)/python docs/pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: .venv/installed
	$(BIN)/python docs/pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

.venv/installed: pyproject.toml
	@echo "Installing into .venv (4 GB, 2 minutes or more)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable '.[convert,analysis,benchmarks,docs,dev]'
	touch $@

.venv-hoplite/installed: pyproject.toml
	@echo "Installing into .venv-hoplite (1 GB, 2 minutes or more)"
	$(PYTHON) -m venv .venv-hoplite
	.venv-hoplite/bin/pip install --quiet --disable-pip-version-check --no-compile --editable . perch-hoplite==1.0.2
	touch $@

.node/installed:
	npm install --prefix .node --ignore-scripts onnxruntime-node onnxruntime-web
	touch $@

clean:
	rm -rf .venv .venv-hoplite .node demo site build dist wheels *.egg-info
