# `make demo` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test weights evaluation bench clean

demo: $(VENV)/.installed
	$(BIN)/restcli annotate examples/absence.edf --out demo
	@echo
	@cat demo/absence_events.tsv
	@echo "pictures: demo/absence_overview.png demo/absence_event01.png ..."

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

weights: $(VENV)/.installed
	$(BIN)/python models/make.py --out models

# Seeds of a recipe stand side by side: make evaluation WEIGHTS="models/rest-default.safetensors seed1.safetensors"
WEIGHTS ?= models/rest-default.safetensors models/rest-paper.safetensors
RECORDINGS ?= ../shared/eeg
evaluation: $(VENV)/.installed
	$(BIN)/python -m benchmarks.evaluation $(WEIGHTS) --recordings $(RECORDINGS) --robustness --into models/EVALUATION.md

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) demo build dist

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "restcli needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
