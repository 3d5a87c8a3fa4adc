# The one entry point: people and CI call nothing else. `make` alone prints the verbs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo demo-cluster test python bench ci fmt lint docs deny zones clean

help: ## Print the verbs.
	@awk 'BEGIN { FS = ":.*## "; print "make <verb>\n" } /^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Import a messy sample and run a campaign over it on SQLite, under a minute. ARGS="..." goes to the demo.
	@scripts/demo.sh $(ARGS)

demo-cluster: ## Run a campaign on three processes and a private PostgreSQL, and kill one on the way. ARGS="..." goes to the demo.
	@scripts/demo-cluster.sh $(ARGS)

test: ## Run every test: features, examples, benches (one iteration), documentation, and the suite.
	@scripts/test.sh

python: ## The Python package alone: build, tests, doctests, examples. ARGS=lint or ARGS=wheel for its other steps.
	@scripts/python.sh $(ARGS)

bench: ## Measure throughput, import and pacing. ARGS="..." goes to the benches.
	@scripts/bench.sh $(ARGS)

ci: ## Check format, lints, documentation and licences, then run every test. CI runs this.
	@scripts/lint.sh
	@scripts/python.sh lint
	@scripts/python.sh wheel --quick
	@scripts/docs.sh
	@scripts/deny.sh --ci
	@scripts/test.sh

fmt: ## Format the sources.
	@scripts/with.sh cargo fmt --all

lint: ## Check the format and run clippy; a warning is an error.
	@scripts/lint.sh

docs: ## Build the API documentation; a warning is an error.
	@scripts/docs.sh

deny: ## Check licences, advisories, sources and doubled versions with cargo-deny; installs it if needed.
	@scripts/deny.sh

zones: ## Regenerate the table from phone numbers to time zones.
	@scripts/zones.sh

clean: ## Remove build output and the demo's database.
	@scripts/with.sh cargo clean
	@rm -rf .build
