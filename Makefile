# `make demo` and `make test` do all the set-up themselves, on a fresh machine.
PYTHON ?= python3

.PHONY: demo test check fast types bench clean

demo:            ## serve the example newsroom and print its address
	@bash scripts/demo.sh

test:            ## everything: lint, types, tests on every Python found, oldest and newest FastAPI
	@$(PYTHON) scripts/test.py

check:           ## lint and types alone
	@$(PYTHON) scripts/test.py check

fast:            ## the quick tests alone, on this Python and the newest FastAPI
	@$(PYTHON) scripts/test.py fast

types:           ## write anew what is made of contracts: the examples' routes, and what tests keep
	@$(PYTHON) scripts/test.py types

bench:           ## the benchmarks (some minutes; see bench/README.md)
	@$(PYTHON) bench/run.py

clean:           ## forget virtual environments and builds
	rm -rf .venv .venvs .build dist bench/.build js/dist js/node_modules examples/react/node_modules examples/react/dist
