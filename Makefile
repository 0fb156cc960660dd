# `make demo` and `make test` need nothing but a Python and make. `make help` lists the rest.
PYTHON ?= python3
PY311 := $(PYTHON) include/runtime/python.py
STATE := $(abspath .updraft)
AIRFLOW := $(abspath $(or $(UPDRAFT_RUNTIMES),$(STATE)/runtimes))/airflow/bin
PY := $(AIRFLOW)/python
export PYTHONPATH := $(CURDIR):$(CURDIR)/plugins
export GX_ANALYTICS_ENABLED := False
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true
# OpenMP's threads otherwise spin while they wait: a waste wherever more than one program computes.
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.PHONY: help install install-llm install-vllm install-quantise install-tensorrt install-labels install-monitoring install-tests demo demo-labels demo-llm demo-drift demo-search up down status logs rollback new-model data-restore backup restore prove backup-plan backups upgrade images test test-gpu test-docker test-cluster compose chromium lint format lock clean install-scaled demo-scaled test-ray check rest docs-exports

help:  ## this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

install:  ## set up the runtimes' environments from their locks
	@command -v $(PYTHON) >/dev/null || { echo "Updraft's setup begins with a Python of 3.9 or newer: install it (apt-get install python3) or set PYTHON=/path/to/python3."; exit 1; }
	@$(PY311) include/runtime/install.py

install-llm: install  ## the same for language models (torch: 1 GB or more)
	@$(PY311) include/runtime/install.py llm

install-vllm: install  ## the same for vLLM (3 GB)
	@$(PY311) include/runtime/install.py vllm

install-quantise: install  ## the same for quantising for vLLM (torch: 1 GB or more)
	@$(PY311) include/runtime/install.py quantise

install-tensorrt: install  ## the same for TensorRT, its libraries from NVIDIA (3 GB or more)
	@$(PY311) include/runtime/install.py tensorrt

install-labels: install  ## the same for Label Studio (1 GB)
	@$(PY311) include/runtime/install.py labels

install-%: install  ## the same for another environment: make install-ollama
	@$(PY311) include/runtime/install.py $*

install-scaled: install  ## PostgreSQL and Redis, by Debian's packages (root or sudo)
	@$(PY311) include/runtime/install.py --scaled

install-monitoring:  ## Prometheus and Alertmanager, out of Debian's packages (root or sudo for two files)
	@$(PY311) include/runtime/install.py --monitoring

demo: install $(if $(filter signs intents,$(MODEL)),install-torch)  ## the whole story: four versions of a model from data to production, the two bad ones rolled back (MODEL=signs: photos, MODEL=intents: texts, in networks of PyTorch)
	@$(PY) -m include.demo demo "$(MODEL)"

demo-llm: install-llm $(if $(filter vllm,$(BACKEND)),install-vllm install-quantise)  ## the same for a chat model: fine-tuned, quantised, served, tried; a wrong and a slow one found out (BACKEND=vllm)
	@$(PY) -m include.demo demo-llm

demo-drift: install  ## production changes: harm is found, a run retrains on what callers sent, and a champion that goes bad is taken back
	@$(PY) -m include.demo demo-drift

demo-search: install  ## a search for hyperparameters whose trials are killed on the way, and the same search undisturbed
	@$(PY) -m include.demo demo-search

demo-labels: install-labels  ## people label what the champion is least sure of, in Label Studio, and a version that has learnt from it is promoted
	@UPDRAFT_LABELS=1 $(PY) -m include.demo demo-labels

demo-scaled: install-scaled  ## the story of `make demo` on PostgreSQL, with CeleryExecutor, Redis and two workers
	@UPDRAFT_SCALE=scaled $(PY) -m include.demo

up: install $(if $(filter 1,$(MONITORING)),install-monitoring) $(if $(filter 1,$(LABELS)),install-labels)  ## start the platform (LABELS=1: Label Studio, kept; 0: without; UPDRAFT_SCALE=scaled: PostgreSQL and Celery; S3=1: artifacts and data in an S3 of its own; MONITORING=1: Prometheus and Alertmanager, kept; 0: without)
	@$(if $(filter 1,$(S3)),UPDRAFT_S3=1) $(if $(MONITORING),UPDRAFT_MONITORING=$(MONITORING)) $(if $(LABELS),UPDRAFT_LABELS=$(LABELS)) $(PY) -m include.platform up $(if $(filter 1,$(SHOW)),--show)

down:  ## stop it; state stays in .updraft/
	@$(PY) -m include.platform down

status:  ## what runs, and where to look (SHOW=1: the passwords and the key too)
	@$(PY) -m include.platform status $(if $(filter 1,$(SHOW)),--show)

logs:  ## follow every log; or show what is logged: make logs MODEL=digits SINCE=1h [REQUEST=<x-request-id>] [JSON=1]
	@$(if $(MODEL)$(SINCE)$(REQUEST)$(JSON),$(PY) -m include.logs $(if $(MODEL),--model "$(MODEL)") $(if $(SINCE),--since "$(SINCE)") $(if $(REQUEST),--request "$(REQUEST)") $(if $(filter 1,$(JSON)),--json),$(PY) -m include.platform logs)

new-model: install  ## a model's folder from a file of data; asks in the terminal, or make new-model DATA=customers.csv NAME=churn TARGET=churned [TASK= TEMPLATE= USE= MIN_SCORE= SEPARATOR= DECIMAL= ENCODING= RENAME=1 DESCRIPTION=]
	@$(PY) -m include.new_model --data "$(DATA)" --name "$(NAME)" --target "$(TARGET)" --task "$(TASK)" --template "$(TEMPLATE)" --description "$(DESCRIPTION)" --use "$(USE)" --min-score "$(MIN_SCORE)" --separator "$(SEPARATOR)" --decimal "$(DECIMAL)" --encoding "$(ENCODING)" --rename "$(RENAME)"

rollback:  ## take production back by hand: make rollback MODEL=digits [VERSION=2] [REASON="..."]
	@$(PY) -m include.release rollback "$(MODEL)" $(VERSION) $(if $(REASON),--reason "$(REASON)")

data-restore:  ## the exact bytes a run was trained on: make data-restore RUN=<MLflow or Airflow run id> [OUT=file or folder]
	@$(PY) -m include.data restore --run "$(RUN)" $(if $(OUT),--out "$(OUT)")

backup: install  ## back the platform up, running or not, and prove it: make backup [TO=folder or s3://...] [VERIFY=0]; its secrets are encrypted with UPDRAFT_BACKUP_PASSPHRASE, or what you say when asked
	@$(PY) -m include.backup make $(if $(TO),--to "$(TO)") $(if $(filter 0,$(VERIFY)),--unproven)

upgrade: install  ## after new code: stop, back up, rehearse the upgrade on the backup, then start [TO=folder or s3://...]
	@$(PY) -m include.backup upgrade $(if $(TO),--to "$(TO)")
	@$(PY) -m include.platform up

restore: install  ## put a backup into an empty home: make restore FROM=folder [NAME=...: not the newest] [LATEST=1: databases as Litestream copied them last]
	@$(PY) -m include.backup restore "$(FROM)" $(if $(NAME),--name "$(NAME)") $(if $(filter 1,$(LATEST)),--latest)

prove: install  ## restore a backup in isolation and have its champions answer: make prove FROM=folder [NAME=...]
	@$(PY) -m include.backup prove "$(FROM)" $(if $(NAME),--name "$(NAME)")

backup-plan: install $(if $(filter 1,$(CONTINUOUS)),install-litestream)  ## back up by itself: make backup-plan TO=folder [AT="0 3 * * *"] [KEEP=7] [DAYS=30] [CONTINUOUS=1: by Litestream]; without TO: what is planned
	@$(PY) -m include.backup plan $(if $(TO),--to "$(TO)") $(if $(AT),--at "$(AT)") $(if $(KEEP),--keep "$(KEEP)") $(if $(DAYS),--days "$(DAYS)") $(if $(filter 1,$(CONTINUOUS)),--continuous)

backups: install  ## the backups that there are: make backups [FROM=folder]
	@$(PY) -m include.backup list $(if $(FROM),"$(FROM)")

install-tests: install-llm install-vllm install-quantise install-torch chromium  ## all that the tests need
	@$(PY311) include/runtime/install.py --scaled || echo "  The tests of a scaled platform are skipped."
	@$(PY311) include/runtime/install.py --monitoring || echo "  The tests of rules and dashboards are skipped."

test: install-tests  ## every test: unit, integration against real components, the whole journey
	@$(PY) -m tests

test-gpu: install-llm install-quantise  ## NVML and the estimator against real allocations, fine-tuning, AWQ and TensorRT, where a GPU is; the record goes to docs/gpu-record.md
	@$(PY311) include/runtime/install.py tensorrt || echo "  The tests of TensorRT are skipped."
	@$(PY) -m tests.gpu

test-docker: install  ## the tests that make containers, on the engine of DOCKER_HOST, which has the images trainer and triton (and llm for one of them)
	@$(PY) -m pytest tests/include/targets/test_docker.py tests/include/serving/test_docker.py tests/include/sandbox/test_hostile_docker.py tests/plugins/lifecycle/test_targets.py tests/journey/test_docker.py
	@$(PY) -m pytest tests/include/backends/test_contract.py -k docker

test-cluster: install  ## the tests that make pods, on the cluster of KUBECONFIG, whose one node is this machine; UPDRAFT_TEST_IMAGE: one with Python 3.11; UPDRAFT_TEST_TRITON: that of runtime triton
	@UPDRAFT_TEST_CLUSTER=1 $(PY) -m pytest tests/include/targets/test_kubernetes.py tests/include/targets/test_trainjob.py tests/include/serving/kubernetes tests/plugins/lifecycle/test_cluster.py tests/include/inventory/test_kubernetes.py tests/include/platform/test_one_node.py tests/include/sandbox/test_hostile_kubernetes.py tests/journey/test_kubernetes.py
	@UPDRAFT_TEST_CLUSTER=1 $(PY) -m pytest tests/include/backends/test_contract.py -k kubernetes

test-ray: install-llm  ## the tests that start a Ray of their own; UPDRAFT_TEST_RAY: a Python 3.11 with ray[default] and the llm runtime's packages
	@$(PY) -m pytest tests/include/targets/test_ray.py

chromium:
	@$(PY311) include/runtime/install.py --chromium

images:  ## the runtimes as images: make images [RUNTIMES="trainer llm"] [MODEL=churn: its own packages] [BASE=python:3.11-slim-bookworm@sha256:...] [BUILD_NETWORK=host]
	@BASE="$(BASE)" BUILD_NETWORK="$(BUILD_NETWORK)" MODEL="$(MODEL)" $(PY311) -m include.targets.images $(RUNTIMES)

compose:  ## lay out secrets and folders for the whole platform on one Docker host (docker/compose.yaml), and say what to type next
	@$(if $(LABELS),UPDRAFT_LABELS=$(LABELS)) $(PY311) -m include.platform.compose

check: install  ## style, types, the rooms, and the unit tests that start no server; make check MODEL=churn: that model's folder
	@$(if $(MODEL),$(PY) -m include.ci check "$(or $(UPDRAFT_MODELS),include/models)/$(MODEL)",$(PY) -m tests.check)

lint: install  ## ruff, mypy, the rooms, specs, Dockerfiles, manifests, Envoy's scripts, and the locks against known vulnerabilities
	@$(AIRFLOW)/ruff check .
	@$(AIRFLOW)/ruff format --check .
	@$(AIRFLOW)/mypy include plugins dags
	@$(AIRFLOW)/lint-imports
	@$(PY) -m include.spec check include/models
	@$(AIRFLOW)/hadolint docker/*/Dockerfile
	@$(PY) -m tests.manifests
	@$(PY) -m tests.lua
	@$(PY) -m tests.advisories

format: install  ## let ruff mend what it can
	@$(AIRFLOW)/ruff check --fix .
	@$(AIRFLOW)/ruff format .

lock: install  ## resolve the requirements anew into their locks, with hashes
	@$(PY311) include/runtime/lock.py

clean: down  ## throw away all state but the installed runtimes
	@find $(STATE) -mindepth 1 -maxdepth 1 ! -name runtimes ! -name tools -exec rm -rf {} +

bench-llm: install-llm install-vllm install-quantise
bench-scale: install-scaled
bench-backup: install-litestream

rest: install  ## write docs/rest.md anew, out of what the plugins' APIs say of themselves
	@$(PY) -m tests.rest

docs-exports: install  ## try every estimator of scikit-learn and write docs/exports.md anew (some minutes)
	@$(abspath $(or $(UPDRAFT_RUNTIMES),$(STATE)/runtimes))/trainer/bin/python -m bench.formats.exports > docs/exports.md.part && mv docs/exports.md.part docs/exports.md

bench-%: install  ## measure: idle, judge, watch, drift, loop, log, formats, rollout, serving, parse, lifecycle, llm, placement, estimator, queue, search, labels, leases, targets, scale, artifacts, backup, budget, replicas
	@$(PY) -m bench.$*
