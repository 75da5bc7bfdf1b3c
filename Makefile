PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test check clean

demo: $(VENV)/.installed  ## simulate real Geant4 showers, draw as many from the shipped model, compare them
	$(BIN)/caloforge demo -o $(DEMO)

test: $(VENV)/.installed  ## all tests
	$(BIN)/python -m pytest

check: test  ## all tests, and what CI asks of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.installed: pyproject.toml constraints.txt
	command -v $(PYTHON) >/dev/null || { echo "CaloForge needs Python 3.11: set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(DEMO)
