# `make demo` and `make test` are all that a newcomer needs; each makes .venv when it is missing.
# `make help` lists the targets, by the comments behind their names.
PYTHON ?= python3
BIN := .venv/bin
# What `make readme-figures` measures: the folder or zip of the catalogue, and a name of keras.applications or a .keras file.
CATALOGUE ?= fashion_products.zip
BACKBONE ?= mobilenet

# Two processes that take work from each other: measured, faster than a file each.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: help demo test test-slow test-all check format bench readme-figures clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: .venv/ready ## the whole chain on drawn garments, offline
	$(BIN)/fashionprobe demo

test: .venv/ready ## the tests without those marked slow; each command is among them
	$(PYTEST) -m "not slow"

test-slow: .venv/ready ## the tests marked slow, and no others
	$(PYTEST) -m slow

test-all: .venv/ready ## the whole suite
	$(PYTEST)

check: .venv/ready ## ruff, pyright and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/codespell

format: .venv/ready ## ruff, writing
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/ready ## ratios against the obvious ways to do the same
	$(BIN)/python benchmarks/records.py
	$(BIN)/python benchmarks/extract.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/explain.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/wall.py
	$(BIN)/python benchmarks/refit.py
	$(BIN)/python benchmarks/triplets.py

readme-figures: .venv/ready ## the README's figures against those of today
	$(BIN)/python pipelines/readme_figures.py --path "$(CATALOGUE)" --backbone "$(BACKBONE)"

# The stamp is newer than setup.cfg only when the last installation was for it.
.venv/ready: setup.cfg
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean: ## remove .venv and what was built
	rm -rf .venv build dist *.egg-info
