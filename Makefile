# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
PY := .venv/bin/python
PROTO_PY := .venv-proto/bin/python
COMPILE = uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --quiet

.PHONY: help setup check test simulate mutants power-loss torture soak handshakes bench-peers matrix coverage proto lock wheel clean floods login-timing fuzz fuzz-guided

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: .venv/.stamp-dev ## make .venv with everything for development

.venv/.stamp-dev: cluster requirements.txt requirements-dev.txt
	./cluster --version > /dev/null
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@

.venv-proto/.stamp: requirements-proto.txt
	$$(./cluster --which-python) -m venv .venv-proto
	$(PROTO_PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-proto.txt
	touch $@

.venv-bench/.stamp: requirements.txt benchmarks/requirements.txt
	$$(./cluster --which-python) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements.txt -r benchmarks/requirements.txt
	touch $@

check: setup .venv-proto/.stamp ## format, lint, types, import contracts, wire contract, fresh stubs
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	cd proto && ../.venv-proto/bin/buf lint
	$(PY) -m tests.stubs $(PROTO_PY)

test: setup ## all tests, real clusters included
	$(PY) -m pytest -n 2 --dist loadfile

simulate: setup ## 10,000 simulated schedules; SCHEDULES=n, SEED=n, JOBS=n
	$(PY) -m tests.simulator --schedules $(or $(SCHEDULES),10000) --seed $(or $(SEED),0) --jobs $(or $(JOBS),1)

.PHONY: model
model: setup ## every state of small clusters within bounds, exhausted; BOUNDS="--payments 2 --epochs 2 --streams 1 --inquiries 0"
ifdef BOUNDS
	$(PY) -m tests.model $(BOUNDS)
else
	$(PY) -m tests.model --payments 1 --epochs 2 --streams 2 --inquiries 1
	$(PY) -m tests.model --payments 2 --epochs 1 --streams 2 --inquiries 0
endif

power-loss: setup ## 10,000 images of databases after a power cut; IMAGES=n, SEED=n, SYNCHRONOUS=FULL|NORMAL|OFF
	$(PY) -m tests.power_loss --images $(or $(IMAGES),10000) --seed $(or $(SEED),0) \
		--synchronous $(or $(SYNCHRONOUS),FULL)

mutants: setup ## how the simulator catches each deliberate bug
	$(PY) -m tests.simulator.mutants

handshakes: setup ## 100,000 TLS handshakes while certificates are replaced; HANDSHAKES=n
	PYTHONPATH=.:proto $(PY) -m tests.handshakes --handshakes $(or $(HANDSHAKES),100000)

bench-peers: .venv-bench/.stamp ## the same loads on this and on two PostgreSQL servers; OPTIONS="--for 10 --rounds 3"
	PYTHONPATH=$(CURDIR):$(CURDIR)/proto .venv-bench/bin/python -m benchmarks $(OPTIONS)

floods: setup ## how much each flood slows a well-behaved client; FOR=seconds of each
	PYTHONPATH=.:proto $(PY) -m tests.security.campaign --for $(or $(FOR),20)

torture: setup ## 500 kills under load, judged by the files; CYCLES=n, SEED=n, goes on where it stopped
	nice $(PY) -m orchestrator.campaign.torture --cycles $(or $(CYCLES),500) --seed $(or $(SEED),1) --report $(or $(REPORT),torture)

soak: setup ## an hour of all faults under load, with a report; SEED=n
	nice $(PY) -m orchestrator chaos run --for 1h --every 8s --seed $(or $(SEED),1) --report $(or $(REPORT),soak)

matrix: setup ## crash at every crash point under load, and judge what comes of it; SEED=n
	$(PY) -m orchestrator chaos matrix --every-bank --seed $(or $(SEED),0)

login-timing: setup ## whether the clock tells who has an account; SAMPLES=n of each
	PYTHONPATH=.:proto $(PY) -m tests.security.login_timing --samples $(or $(SAMPLES),500)

fuzz: setup ## what nobody would send, to every RPC and text; FOR=60s, REQUESTS=n of each at most, SEED=n, TARGETS="Pay users"
	PYTHONPATH=.:proto $(PY) -m tests.fuzz --for $(or $(FOR),60s) --seed $(or $(SEED),0) \
		--requests $(or $(REQUESTS),1000000000) $(TARGETS)

.venv-fuzz/.stamp: requirements-fuzz.txt
	$$(./cluster --which-python) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.txt
	touch $@

fuzz-guided: .venv-fuzz/.stamp ## the same, led by what code is reached; SECONDS=n, TARGETS="Pay users"
	PYTHONPATH=.:proto .venv-fuzz/bin/python -m tests.fuzz.coverage_guided $(or $(SECONDS),300) $(TARGETS)

coverage: setup ## what the tests reach, in htmlcov/
	$(PY) -m coverage run -m pytest && $(PY) -m coverage combine && $(PY) -m coverage html

proto: .venv-proto/.stamp ## make the stubs anew from proto/**/*.proto
	$(PROTO_PY) -m grpc_tools.protoc -Iproto --python_out=proto --grpc_python_out=proto \
		--plugin=protoc-gen-mypy=.venv-proto/bin/protoc-gen-mypy --mypy_out=quiet:proto \
		--plugin=protoc-gen-mypy_grpc=.venv-proto/bin/protoc-gen-mypy_grpc --mypy_grpc_out=quiet:proto \
		proto/interbank/v1/*.proto
	rm -f proto/interbank/v1/access_pb2_grpc.py proto/interbank/v1/access_pb2_grpc.pyi

lock: ## pin all requirements anew; needs uv
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) requirements-dev.in -c requirements.txt -o requirements-dev.txt
	$(COMPILE) requirements-proto.in -o requirements-proto.txt
	$(COMPILE) pyproject.toml requirements-fuzz.in -c requirements.txt -o requirements-fuzz.txt
	$(COMPILE) benchmarks/requirements.in -c requirements.txt -o benchmarks/requirements.txt

wheel: setup ## the package, in dist/
	$(PY) -m pip wheel --quiet --no-deps -w dist .

clean: ## remove what was made here, but for certs, logs and state
	rm -rf .venv .venv-proto .venv-fuzz .venv-bench dist build htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
