# make demo   train on the bundled scene for a minute, score it, film it
# make test   lint, types and all tests but those marked slow
# make check  lint, types and the tests of less than a third of a second that neither train nor start processes
# make slow   the tests that make test leaves out: before a release, and after a change to what they test
# make docs   the documentation site, in site/; every warning is an error
# make serve-docs   the same, on a local server that follows changes
# make setup  only the environment, in .venv
# Processes of a run find the bytecode of the earlier ones.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test check slow docs serve-docs lint lock
setup: $(STAMP)

$(STAMP): requirements.txt requirements-test.txt pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-test.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@# An outside check of our scores. It asks for an older numpy than it needs, so pip must not resolve it.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps nerfbaselines==1.2.12
	@touch $@

demo: setup
	$(BIN)/nerf demo

test: setup lint
	$(BIN)/python -m pytest -m "not whole and not slow"
	$(BIN)/python -m pytest -m "whole and not slow"

check: setup lint
	$(BIN)/python -m pytest -m "not whole and not long and not slow"

slow: setup
	$(BIN)/python -m pytest -m "slow"

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

serve-docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

# New locks from the ranges in pyproject.toml, for every supported Python at once.
lock: setup
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 pyproject.toml --extra test --extra docs -o requirements-test.txt

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
