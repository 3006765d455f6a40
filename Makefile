# Everything that a person or CI runs. `make demo` and `make test` need Python 3.11 to 3.13 and nothing else.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header

.PHONY: help setup demo test test-slow bench peers engines test-engines airflow test-airflow test-systems lint lock schema clean \
  .peers/implicit .peers/librecommender
# A file whose recipe failed doesn't count as made; of directories make can't tell, so these have a file .ready, made last.
.DELETE_ON_ERROR:

help:
	@sed -n 's/^## //p' Makefile

## make setup     .venv with everything, from the lock
setup: $(READY)

# For recipes that empty a directory: what lies behind a link is somebody else's.
OWN = @test ! -L $(1) || { echo "error: expected $(1) to be a directory, found a symbolic link, whose target this would" \
  "wipe; remove the link (rm $(1)) and make again, or use the tools behind it without make" >&2; exit 1; }

# What the commands import is compiled once, here, also where PYTHONDONTWRITEBYTECODE is set, as in many containers:
# TensorFlow would be compiled at each start. All that is installed would take three times as long.
export PYTHONDONTWRITEBYTECODE :=
IMPORT_ALL := from importlib import import_module; from pipelines.cli import VERBS; \
  from stage.command_line import run_command; modules = [verb.module for verb in VERBS.values()]; \
  modules += ["tensorflow_transform.beam", "sklearn.manifold", "matplotlib.pyplot"]; \
  run_command(lambda _: [import_module(module) for module in modules], [])
# A whole environment of this place and Python is brought up to date as it is, our own package with the others: commands may be
# running in it. `.ready` says whose it is, and is gone while it isn't whole.
ifneq ($(shell cat $(READY) 2>/dev/null),$(realpath .venv) $(shell $(PYTHON) --version))
$(READY): FORCE
endif
FORCE:
$(READY): requirements.lock requirements-bootstrap.lock setup.py
	$(call OWN,.venv)
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); \
	  sys.exit(0 if ok else "error: expected Python 3.11 to 3.13, found %d.%d; make setup PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "error: this Python has no venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@if test "$$(cat $@ 2>/dev/null)" = "$(realpath .venv) $$($(PYTHON) --version)"; then rm $@; else \
	  $(PYTHON) -m venv --clear .venv && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock; fi
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	echo "-e ." | $(BIN)/uv pip sync --quiet --python $(BIN)/python --no-build-isolation requirements.lock -
	@$(BIN)/python -c '$(IMPORT_ALL)'
	@echo "$$(cd .venv && pwd -P) $$($(PYTHON) --version)" > $@

## make demo      the main job on the sample that ships: dataset, model, metrics
demo: setup
	$(BIN)/ssl-two-tower run --spec debian --raw tests/data/debian-sample --output demo
	@echo
	@echo "demo/dataset       examples, corpus, vocabularies, mutual information"
	@echo "demo/model         weights, checkpoints, history.json; .venv/bin/tensorboard --logdir demo/model/logs"
	@echo "demo/metrics.json  the table above, for programs"

## make lint      ruff, mypy, import-linter, codespell
lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell *.* Makefile dataflow_templates docs features model pipelines stage tests training_image

# By file, since fixtures are built per file; two workers, since each holds TensorFlow. A new worker in the place of one that
# crashed, or hung, would begin with the same test.
## make test      lint and tests
test: lint
	$(BIN)/pytest -m "not slow and not engine and not airflow" --numprocesses 2 --dist loadfile --max-worker-restart 0

# Some are of engines and of Airflow, and would skip without them.
## make test-slow tests that take minutes, also those of the engines and Airflow, which it makes
test-slow: setup engines airflow
	$(BIN)/pytest -m slow

# BENCH: what to measure, and how; tests/benchmarks/bench.py --help says.
## make bench     speed against baselines; an hour (BENCH=dirty_log or so for less);
##                without make peers its rows against LibRecommender are empty
bench: setup
	$(BIN)/python tests/benchmarks/bench.py $(BENCH)

## make peers     other people's models in environments of their own, for ssl-two-tower compare --peers and BENCH=training:
##                implicit, and LibRecommender, which brings PyTorch: 7 GB (.peers/implicit is the former alone)
peers: .peers/implicit .peers/librecommender

PEERS := model/comparison/peers
.peers/implicit .peers/librecommender: %: %/.ready
.peers/%/.ready: $(PEERS)/%.lock $(READY)
	$(call OWN,.peers)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(@D)/bin/python --require-hashes $<
	@touch $@

# Prism as Go builds it, and job servers that hold Spark and Flink, out of Maven. And a bucket.
## make engines   Prism, Spark, Flink and an emulator of gs:// for the Beam job, into .engines; needs Go, Java and Maven
engines: .engines/prism .engines/spark/job-server.jar .engines/flink/job-server.jar .engines/gcs-emulator/.ready

BEAM = $(shell sed -n 's/^apache-beam==\([0-9.]*\).*/\1/p' requirements.lock)
.engines/prism: requirements.lock
	GOBIN="$(CURDIR)/.engines" go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)
	@touch $@

.engines/gcs-emulator/.ready: $(READY)
	$(call OWN,.engines)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	$(BIN)/uv pip install --quiet --python $(@D)/bin/python gcp-storage-emulator==2026.7.19
	@touch $@

JOB_SERVERS := tests/engines/job_servers
# One after the other: Maven's own store isn't safe for two at a time.
.engines/flink/job-server.jar: | .engines/spark/job-server.jar
.engines/%/job-server.jar: $(JOB_SERVERS)/pom.xml $(JOB_SERVERS)/%/pom.xml
	$(call OWN,.engines)
	rm -rf .engines/$*
	mvn --batch-mode --quiet --file $(JOB_SERVERS)/pom.xml --projects $* package

# Two at a time, since each waits much for its engine.
## make test-engines  the whole build on each of them; minutes
test-engines: setup .peers/implicit
	$(BIN)/pytest -m "engine and not slow" --numprocesses 2 tests/engines

# Airflow, which can't share an environment with this package. Its folder of DAGs has a link to ours, and what users put there.
AIRFLOW := pipelines/retraining/requirements.lock
DAG := .airflow-home/dags/retraining
## make airflow   Airflow with the retraining DAG, in an environment of its own: pipelines/retraining/README.md
airflow: .airflow/.ready $(DAG)
.airflow/.ready: $(AIRFLOW) $(READY)
	$(call OWN,.airflow)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .airflow
	$(BIN)/uv pip sync --quiet --python .airflow/bin/python --require-hashes $(AIRFLOW)
	@touch $@

$(DAG):
	mkdir -p $(@D)
	ln -sfn ../../pipelines/retraining $@

# The DAG's types are checked against Airflow's. One process: the days follow each other, and the rest is short.
## make test-airflow  the DAG in that Airflow; minutes
test-airflow: setup airflow
	cd $(dir $(DAG)) && "$(CURDIR)/$(BIN)/mypy" --config-file "$(CURDIR)/pyproject.toml" \
	  --python-executable "$(CURDIR)/.airflow/bin/python" --cache-dir "$(CURDIR)/.mypy_cache/airflow" --package retraining
	$(BIN)/pytest -m "airflow and not slow" tests/airflow

# What CI runs beside test: with --jobs=2 one after the other for as long as that goes on. Airflow first: it keeps one core busy.
## make test-systems  both, and what they need
test-systems: engines airflow .peers/implicit
	$(MAKE) test-airflow test-engines

# The one command that changes the locks; --upgrade takes the newest versions.
## make lock      resolve the requirements anew
lock:
	@test -x $(BIN)/uv || { echo "error: expected $(BIN)/uv, which isn't there; make setup brings it" >&2; exit 1; }
	$(COMPILE) --universal --all-extras $(UPGRADE) setup.py -o requirements.lock
	echo "uv>=0.8" | $(COMPILE) --universal $(UPGRADE) - -o requirements-bootstrap.lock
	echo "implicit>=0.7.3" | $(COMPILE) --universal $(UPGRADE) - -o $(PEERS)/implicit.lock
	printf '%s\n' LibRecommender tensorflow tf-keras torch pandas scikit-learn | \
	  $(COMPILE) --universal $(UPGRADE) - -o $(PEERS)/librecommender.lock
	printf '%s\n' "apache-airflow>=3.3" apache-airflow-providers-standard apache-airflow-providers-cncf-kubernetes \
	  apache-airflow-providers-google apache-airflow-providers-apache-beam \
	  | $(COMPILE) --universal $(UPGRADE) - -o $(AIRFLOW)
	echo "tensorflow[and-cuda]" | $(COMPILE) --python-platform x86_64-manylinux_2_28 --extra train --extra report --extra gcp \
	  --constraints requirements.lock setup.py - -o training_image/requirements.lock
	$(COMPILE) --python-platform x86_64-manylinux_2_28 --extra gcp --constraints requirements.lock setup.py \
	  -o dataflow_templates/build_dataset/requirements.lock

# Every key of the spec, for editors (JSON Schema) and for readers (docs/spec.md); tests hold both to features/spec/spec.py.
## make schema    features/specs/spec.schema.json and docs/spec.md anew, after a change of the spec's keys
schema: setup
	$(BIN)/python -m features.spec.schema

## make clean     remove what the others made
clean:
	rm -rf .venv .airflow .benchmarks .engines .peers demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
