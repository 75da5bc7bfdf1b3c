PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

# the files of a room share Geant4 kernels and trained models: a file stays with one worker; each worker has one thread
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: demo test test-long check clean

demo: $(VENV)/.installed  ## simulate real Geant4 showers, draw as many from the shipped model, compare them
	$(BIN)/caloforge demo -o $(DEMO)

test: $(VENV)/.installed  ## all tests but the long ones
	$(PYTEST) -m "not long"

test-long: $(VENV)/.installed  ## all tests
	$(PYTEST)

check: test  ## the tests, and what CI asks of the code
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
