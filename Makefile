# `make demo` and `make test` set up everything they need in .venv first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-slow test-browser test-networks lint types bench figures docs clean

demo: $(READY)
	$(BIN)/convspec demo

test: $(READY)
	$(BIN)/python -m pytest -n 2

test-slow: $(READY)
	$(BIN)/python -m pytest -n 2 -m slow

# needs chromium and chromedriver: apt-get install chromium chromium-driver
test-browser: $(READY)
	$(BIN)/python -m pytest -m browser

# networks of timm, torchvision, transformers and others; layers said to be 1-Lipschitz
test-networks: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps \
		-r requirements-networks.txt
	$(BIN)/python -m pytest -m networks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks

figures: $(READY)
	$(BIN)/python figures/draw.py

docs: $(READY)
	$(BIN)/python -m mkdocs build --strict

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps \
		--no-build-isolation --editable .
	touch $@

clean:
	rm -rf .venv demo build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
