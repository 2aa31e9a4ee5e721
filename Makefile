# The one door. `make` alone prints what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
UV := $(BIN)/uv --quiet --no-config
PEERS := .venv-peers
PEERS_LOCKS := benchmarks/peers/requirements
PORT ?= 8000
# Not for training, which no image is for, nor for the console, whose image has a lock of its own.
SERVING := alerts cloudwatch otlp postgres redis traces
CORPUS := plugins/inquiry_svc_plugins/classifiers/xgboost/corpus
FAST := plugins/inquiry_svc_plugins/classifiers/xgboost/fast
BUILT_FROM := pyproject.toml setup.py $(wildcard $(FAST)/*.[ch])

.PHONY: help run console test check site format alerts dashboards accuracy bench bench-quick peers soak model minilm \
	vectors metrics lock clean

help:  ## Print the doors
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run  ## Serve on http://127.0.0.1:8000 with the embedded store
	$(BIN)/inquiry-svc serve --port $(PORT)

console: $(VENV)/.console  ## The support team's page on http://127.0.0.1:8501, beside `make run`
	$(BIN)/inquiry-svc console --url http://127.0.0.1:$(PORT)

test: $(VENV)/.dev $(if $(shell command -v npm),$(VENV)/.schemas)  ## Every test, on two processes; then those that must run alone
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not alone and not soak"
	$(BIN)/python -m pytest -q -m "alone and not soak"

check: $(VENV)/.dev  ## Format, lint, types, layers, drift of generated files, the documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m alerting --check
	$(MAKE) --no-print-directory site

site: $(VENV)/.dev  ## Build the documentation into build/site; a link that leads nowhere fails
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going --jobs 2 --builder html \
		--conf-dir docs/site --doctree-dir build/site-doctrees . build/site

format: $(VENV)/.dev  ## Put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

alerts: $(VENV)/.dev  ## Write the alert rules that follow from alerting/slo.yaml
	$(BIN)/python -m alerting

dashboards: $(VENV)/.dev  ## Write the Grafana dashboards that monitoring/dashboards says
	$(BIN)/python -m monitoring.dashboards

bench: $(VENV)/.dev peers  ## Measure speed against a constant answer and against peers, in one run
	$(BIN)/python -m benchmarks.instructions
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.predictor
	$(BIN)/python -m benchmarks.stores
	$(BIN)/python -m benchmarks.metrics_cost
	$(BIN)/python -m benchmarks.tracing_cost
	$(BIN)/python -m benchmarks.footprint
	$(BIN)/python -m benchmarks.overload
	$(BIN)/python -m benchmarks.models
	$(BIN)/python -m benchmarks.lateness
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.scoring
	$(BIN)/python -m benchmarks.peers

bench-quick: $(VENV)/.dev peers  ## The same in short form, in three minutes; keeps nothing
	$(BIN)/python -m benchmarks.quick

peers: $(PEERS)/servers/.made $(PEERS)/mlserver/.made  ## Install the peers, away from everything else

accuracy: $(VENV)/.dev  ## Judge the shipped model beside its parts and others, and write benchmarks/accuracy.md
	$(BIN)/python -m benchmarks.accuracy.second_opinions $(addprefix --public ,$(PUBLIC))
	$(BIN)/python -m benchmarks.accuracy $(addprefix --public ,$(PUBLIC))

soak: $(VENV)/.dev  ## What takes long: hundreds of kills, a million fuzz inputs
	$(BIN)/python -m pytest -q -m soak --timeout 7200

model: $(VENV)/.dev  ## Make the shipped model again from the corpus
	$(BIN)/inquiry-svc train $(sort $(wildcard $(CORPUS)/*.jsonl)) \
		--out plugins/inquiry_svc_plugins/classifiers/xgboost/artefact

minilm: $(VENV)/.dev  ## Make the optional model again from the corpus: some ten minutes
	INQUIRY_CLASSIFIER__PROVIDER=minilm $(BIN)/inquiry-svc train $(sort $(wildcard $(CORPUS)/*.jsonl)) \
		--out plugins/inquiry_svc_plugins/classifiers/minilm/artefact

vectors: $(VENV)/.dev  ## Make anew what words mean to the shipped model, of VALENCES; then say `make model`
	$(BIN)/python -m inquiry_svc_plugins.classifiers.xgboost.vocabulary $(sort $(wildcard $(CORPUS)/*.jsonl)) \
		--valences $(VALENCES)

metrics: $(VENV)/.dev  ## Write monitoring/METRICS.md from what the code declares
	$(BIN)/inquiry-svc metrics > monitoring/METRICS.md

lock: $(VENV)/.uv  ## Resolve the dependencies anew
	$(UV) pip compile pyproject.toml --universal --all-extras --group dev --upgrade --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --output-file requirements/dev.lock
	$(UV) pip compile pyproject.toml --universal $(addprefix --extra ,$(SERVING) train) --constraint requirements/dev.lock \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/run.lock
	$(UV) pip compile pyproject.toml --universal $(addprefix --extra ,$(SERVING)) --constraint requirements/run.lock \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/image.lock
	$(UV) pip compile pyproject.toml --universal --extra streamlit --constraint requirements/dev.lock --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --output-file requirements/console.lock
	for name in servers mlserver; do \
		$(UV) pip compile $(PEERS_LOCKS)/$$name.in --universal --python-version 3.11 --upgrade --generate-hashes \
			--no-emit-index-url --no-header --no-annotate --output-file $(PEERS_LOCKS)/$$name.lock || exit; \
	done

clean:  ## Forget everything that was made here, but no data
	rm -rf $(VENV) $(PEERS) $(FAST)/*.so *.egg-info build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "this needs Python 3.11 to 3.13, $(PYTHON) is $$($(PYTHON) -V 2>&1); say: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@touch $@

$(VENV)/.run: $(VENV)/.uv requirements/run.lock $(BUILT_FROM)
	VIRTUAL_ENV=$(VENV) $(UV) pip install --require-hashes --requirements requirements/run.lock
	VIRTUAL_ENV=$(VENV) $(UV) pip install --no-deps --editable .
	@touch $@

$(VENV)/.console: $(VENV)/.run requirements/console.lock
	VIRTUAL_ENV=$(VENV) $(UV) pip install --require-hashes --requirements requirements/console.lock
	@touch $@

$(VENV)/.dev: $(VENV)/.uv requirements/dev.lock $(BUILT_FROM)
	VIRTUAL_ENV=$(VENV) $(UV) pip install --require-hashes --requirements requirements/dev.lock
	VIRTUAL_ENV=$(VENV) $(UV) pip install --no-deps --editable .
	@touch $@ $(VENV)/.run $(VENV)/.console

$(PEERS)/%/.made: $(PEERS_LOCKS)/%.lock | $(VENV)/.uv
	$(UV) venv --clear --python $(BIN)/python $(PEERS)/$*
	VIRTUAL_ENV=$(PEERS)/$* $(UV) pip install --require-hashes --requirements $<
	@touch $@

# For custom resources there are no schemas among Python's packages.
$(VENV)/.schemas: $(VENV)/.uv tests/custom_resources/package.json tests/custom_resources/package-lock.json
	mkdir -p $(VENV)/custom_resources
	cp tests/custom_resources/*.json $(VENV)/custom_resources
	npm ci --prefix $(VENV)/custom_resources --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
