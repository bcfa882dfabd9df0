# Two commands for newcomers: `make run` and `make test`. Each creates .venv, installs the project and does its work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := .[test]
WORKERS ?= 2

.PHONY: run rerun test lab lint data clean

run: $(VENV)/installed  ## the whole method on the embedded benchmark and backbone
	$(BIN)/covrr run

rerun: $(VENV)/installed  ## every notebook for every embedded backbone; all tables and figures
	$(BIN)/covrr rerun --workers $(WORKERS)

test: $(VENV)/installed  ## all tests, every notebook among them
	$(BIN)/python -m pytest

lab: $(VENV)/installed  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

lint: $(VENV)/installed
	$(BIN)/ruff check .

data: $(VENV)/installed  ## rebuild the mini benchmark's labels and videos
	$(BIN)/python -m covrr_utils.mini.build

$(VENV)/installed: pyproject.toml constraints.txt
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --allow-existing --python ">=3.11" $(VENV) && \
	    uv pip install --python $(BIN)/python -c constraints.txt -e "$(EXTRAS)"; \
	else \
	    $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -c constraints.txt -e "$(EXTRAS)"; \
	fi
	@touch $@

clean:  ## forget results and stores, keep the environment
	rm -rf runs
