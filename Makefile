# Two commands: `make demo` and `make test`. Each needs Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# PyTorch for the tests: the CPU build suffices, and is asked for by this version alone where an index has one.
TORCH  ?= torch==2.13.0
export OMP_NUM_THREADS ?= 1

.PHONY: demo test slow benchmarks clean

demo: $(VENV)/.user
	$(BIN)/hybridcert demo

test: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2

slow: $(VENV)/.developer
	$(BIN)/python -m pytest -n 2 -m slow

benchmarks: $(VENV)/.developer
	$(BIN)/python benchmarks/radii.py
	$(BIN)/python benchmarks/numerics.py
	$(BIN)/python benchmarks/certificates.py
	$(BIN)/python benchmarks/adult.py
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/sample_reuse.py
	$(BIN)/python benchmarks/vlm.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.developer: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.user

clean:
	rm -rf $(VENV) runs .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
