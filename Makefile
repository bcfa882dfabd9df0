# Two commands for newcomers: `make run` and `make test`. Each creates .venv, installs the project
# and does its work. `make PYTHON=python3.12 run` chooses the Python that .venv is made of.
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := .[test]
PIP := $(BIN)/python -m pip install --no-compile
PINNED := -c constraints.txt
WORKERS ?= 2
PYTHONS := 3.11 3.12 3.13 3.14

# Bytecode is kept in .venv and in the checkout, whatever the environment says: else every process
# would compile torch and transformers again, which takes longer than to import them.
export PYTHONDONTWRITEBYTECODE :=

# .venv holds absolute paths, so a checkout that was moved or copied is set up again. The stamp
# $(VENV)/installed records the path for which .venv was made.
MOVED := $(shell [ ! -s $(VENV)/installed ] || [ "$$(cat $(VENV)/installed)" = "$$(pwd -P)" ] || echo moved)

.PHONY: run rerun test lab lint pins data clean $(if $(MOVED),$(VENV)/installed)

run: $(VENV)/installed  ## the whole method on the embedded benchmark and backbone
	$(BIN)/covrr run

rerun: $(VENV)/installed  ## every notebook for every embedded backbone; all tables and figures
	$(BIN)/covrr rerun --workers $(WORKERS)

# Workers that share their cores wait for each other (OpenMP), so each computes on one.
test: $(VENV)/installed  ## all tests, every notebook among them
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lab: $(VENV)/installed  ## JupyterLab on chapter 00, with the kernel of .venv before any other
	JUPYTER_PATH="$$(pwd -P)/$(VENV)/share/jupyter:$$JUPYTER_PATH" $(BIN)/jupyter lab --ServerApp.root_dir="$$(pwd -P)" \
	    --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

book: $(VENV)/installed  ## chapters, guides and reference as a site in book/; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . book
	@echo "the book begins at book/docs/index.html"

lint: $(VENV)/installed  ## form: style, layout, direction of imports, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

pins:  ## every pin is had as a wheel for Linux (x86-64) on every supported Python
	@uv=$$(command -v uv || command -v $(BIN)/uv) || { echo "install uv, or make .venv/installed"; exit 1; }; \
	for version in $(PYTHONS); do \
	    $$uv pip compile --quiet --extra test $(PINNED) --only-binary :all: -o /dev/null \
	        --python-platform x86_64-manylinux_2_28 --python-version $$version pyproject.toml \
	        && echo "Python $$version: all pins are had as wheels" || exit 1; \
	done

data: $(VENV)/installed  ## rebuild the mini benchmark's labels and videos
	$(BIN)/python -m covrr_utils.mini.build

# uv installs in less than a minute what takes pip four, so .venv brings it along; pip installs where
# uv cannot be had or fails, for example behind an index that only pip's own settings name.
$(VENV)/installed: pyproject.toml constraints.txt
	@rm -f $@
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --seed $(if $(MOVED),--clear,--allow-existing) \
	        --python "$(or $(PYTHON),>=3.11)" $(VENV); \
	else \
	    $(or $(PYTHON),python3) -m venv $(if $(MOVED),--clear) $(VENV); \
	fi
	@{ $(PIP) --quiet $(PINNED) uv && \
	    $(BIN)/uv pip install --python $(BIN)/python $(PINNED) -e "$(EXTRAS)"; } || \
	{ echo "uv could not install; pip does, which takes some minutes" && \
	    $(PIP) $(PINNED) -e "$(EXTRAS)"; }
	@pwd -P > $@

clean:  ## forget results and stores, keep the environment
	rm -rf runs
