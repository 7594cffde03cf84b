# `make demo` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Tests run side by side, those of a file in one process.
SIDE_BY_SIDE ?= --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-slow weights evaluation bench docs pictures fuzz lock licences sbom clean

demo: $(VENV)/.installed
	@$(BIN)/restcli demo

test: $(VENV)/.installed-dev
	@echo "Checking style and types; this takes a minute."
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@echo "Running the tests; this takes a few minutes. The slow ones are left out; make test-slow runs them."
	@$(BIN)/python -m pytest -m "not slow" $(SIDE_BY_SIDE)

test-slow: $(VENV)/.installed-dev
	@echo "Running the slow tests: they take some minutes."
	@$(BIN)/python -m pytest -m slow $(SIDE_BY_SIDE)

weights: $(VENV)/.installed
	$(BIN)/python models/make.py --out models

# Several weights files are compared side by side: make evaluation WEIGHTS="models/rest-default.safetensors seed1.safetensors"
WEIGHTS ?= models/rest-default.safetensors models/rest-paper.safetensors
RECORDINGS ?= ../shared/eeg
evaluation: $(VENV)/.installed
	$(BIN)/python -m benchmarks.evaluation $(WEIGHTS) --recordings $(RECORDINGS) --robustness --into models/EVALUATION.md

# The pictures of README and docs/, to make anew when weights or pictures change.
pictures: $(VENV)/.installed
	$(BIN)/restcli annotate examples/absence.edf --out build/pictures
	cp build/pictures/absence_overview.png docs/overview.png
	$(BIN)/restcli film examples/absence.edf --event 1 --out docs/film.gif

docs: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --requirement docs/requirements.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

# Broken and hostile files for every reader.
MINUTES ?= 10
fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m fuzz --minutes $(MINUTES)

lock: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet uv
	mkdir -p build && $(BIN)/uv pip compile pyproject.toml --constraint constraints.txt --generate-hashes --universal --python-version 3.11 \
		--no-header --no-annotate --quiet --output-file build/lock
	{ head -2 requirements.lock; cat build/lock; } > build/requirements.lock && mv build/requirements.lock requirements.lock

# The page of licences, from what the installed packages say of themselves.
licences: $(VENV)/.installed-dev
	$(BIN)/python docs/licences.py

# What restcli needs to run, with versions and hashes, as a CycloneDX bill of materials.
sbom: | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt cyclonedx-bom==7.5.0
	mkdir -p build && $(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file build/rest-eeg.cdx.json

clean:
	rm -rf $(VENV) demo build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "restcli needs Python 3.11 or newer, for example: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo "Creating the Python environment $(VENV)."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing restcli and the libraries it uses; the first time takes a few minutes."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the tools for tests."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
