# `make demo` and `make test` are all that a newcomer needs; each makes .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin
# What `make readme-figures` measures: the folder or zip of the catalogue, and a name of keras.applications or a .keras file.
CATALOGUE ?= fashion_products.zip
BACKBONE ?= mobilenet

.PHONY: demo test check format bench readme-figures clean

demo: .venv/ready
	$(BIN)/fashionprobe demo

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/codespell

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/ready
	$(BIN)/python benchmarks/records.py
	$(BIN)/python benchmarks/extract.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/explain.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/wall.py
	$(BIN)/python benchmarks/refit.py
	$(BIN)/python benchmarks/triplets.py

readme-figures: .venv/ready
	$(BIN)/python pipelines/readme_figures.py --path "$(CATALOGUE)" --backbone "$(BACKBONE)"

# The stamp is newer than setup.cfg only when the last installation was for it.
.venv/ready: setup.cfg
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
