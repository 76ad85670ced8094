# The front door: `make help` lists what there is. A target's line of help stands behind its ##, a group's name behind ##@.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

cluster := tests/cluster/cluster
product_images := socketfleet-operator socket-server
other_images := redis prometheus socketfleet-client
scripts := .ci/run demo/run images/build tests/bench/run tests/images/redis-entrypoint $(addprefix tests/tools/bin/,cargo-deny helm promtool redis-server) \
	$(addprefix tests/cluster/,cluster verify/run verify/checks verify/nothing-left)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nCLUSTER=current uses the cluster of your current kube context (kind, k3d, minikube, a real one) instead of a local one.\n'

##@ Try it
.PHONY: demo demo-down
demo: ## A fleet under load: scales out, rolls over, drains and scales in, with a live table and a report
	demo/run

demo-down: ## End the demo and clean up
	demo/run down

##@ Develop
.PHONY: test test-unit soak soak-server test-cluster lint lint-chart audit fmt generate bench simulate krew clean
test: lint test-unit test-cluster ## All tests; needs root for the local cluster

test-unit: ## Unit tests: no root, no cluster
	@command -v npm >/dev/null || { echo 'the servers are tested with stock clients: install Node.js 20 or later with npm'; exit 1; }
	tests/tools/bin/redis-server --version >/dev/null # installs it where it is missing, before many tests want it at once
	PATH="$(CURDIR)/tests/tools/bin:$$PATH" cargo test --workspace --exclude socketfleet-tests --all-features

soak-server: ## The socket server's memory after 200 waves of 1,000 clients is what it was after the first (some minutes)
	SOAK_WAVES=200 SOAK_CLIENTS=1000 cargo test --package socket-server --test pod -- soak --show-output

test-cluster: images test-images ## Tests with real pods, on a cluster that is up just for them unless one is already
	cargo build --package kubectl-socketfleet
	$(cluster) run cargo test --package socketfleet-tests

lint: ## Formatting, clippy and shellcheck
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck -x $(scripts); else echo 'shellcheck is not installed: scripts were not checked'; fi

lint-chart: ## The chart: linted, and rendered with its switches on and off
	tests/tools/bin/helm lint --strict charts/socketfleet
	@for values in '' 'watchNamespaces={a,b}' customMetrics.enabled=false,replicas=2 podMonitor.operator=true,podMonitor.fleets=true \
		crds.install=false,rbac.create=false,networkPolicy.enabled=false; do \
		tests/tools/bin/helm template socketfleet charts/socketfleet --namespace socketfleet-system $${values:+--set "$$values"} >/dev/null \
			|| { echo "the chart does not render with: $$values"; exit 1; }; \
	done
	@! tests/tools/bin/helm template socketfleet charts/socketfleet --set replicas=-1 >/dev/null 2>&1 \
		|| { echo 'values.schema.json lets replicas=-1 through'; exit 1; }

audit: ## Licences, sources and versions of all dependencies, and, where the database can be fetched, advisories
	tests/tools/bin/cargo-deny --locked check bans licenses sources
	@if tests/tools/bin/cargo-deny fetch db >/dev/null 2>&1; then tests/tools/bin/cargo-deny --locked check advisories; \
	else echo 'advisories were not checked: their database is not to be had here'; fi

fmt: ## Format the code
	cargo fmt --all

generate: ## Write what is generated from the code: the CRD in crds/ and in the chart
	cargo run --quiet --package socketfleet-operator -- crd > crds/socketfleets.yaml.new
	mv crds/socketfleets.yaml.new crds/socketfleets.yaml
	cp crds/socketfleets.yaml charts/socketfleet/files/

soak: images test-images ## Long tests: 100 scale-ins in a row while pods break, an operator killed at every step; under an hour
	$(cluster) run cargo run --package socketfleet-tests --bin soak

bench: ## Measure drain decisions, the socket server beside others, then the operator with real pods and with thousands of simulated ones
	cargo run --release --package socketfleet-simulation --bin drain-bench
	tests/bench/run
	cargo run --package socketfleet-tests --bin operator-bench

krew: ## The kubectl plugin for krew, for this machine's architecture: build/krew (URL=https://… of the releases)
	cargo build --release --package kubectl-socketfleet
	mkdir -p build/krew
	arch=$$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/'); archive=build/krew/kubectl-socketfleet-linux-$$arch.tar.gz; \
	tar --create --gzip --file $$archive --directory target/release kubectl-socketfleet --directory $(CURDIR) LICENSE; \
	sed -e "s|@VERSION@|$(shell sed -n '/^version = /s/[^"]*"\(.*\)"/\1/p' Cargo.toml | head -1)|; s|@URL@|$(or $(URL),https://example.com/socketfleet)|; s|@ARCH@|$$arch|; s|@SHA256@|$$(sha256sum $$archive | cut -d' ' -f1)|" \
		-e '/^#/d' kubectl-socketfleet/krew.yaml > build/krew/socketfleet.yaml

simulate: ## A day of 2,000 pods and 10 million sockets in virtual time, some minutes: build/simulation.html
	cargo run --release --package socketfleet-simulation

clean: ## Remove what was built in this clone; the caches stay
	@[ ! -e build/cluster ] || { echo 'a cluster is up in build/cluster: make cluster-down first'; exit 1; }
	cargo clean
	rm -rf build

##@ Images
.PHONY: images test-images
images: ## Build the operator's and the server's images (IMAGE_TAG=dev, IMAGE_REGISTRY=localhost; PUSH=1 pushes them)
	images/build $(product_images)

test-images: ## Build the images that the tests and the demo need beside them: Redis, Prometheus, Socket.IO clients
	images/build $(other_images)

##@ Local cluster
.PHONY: cluster-up cluster-down cluster-status cluster-verify kubectl-env
cluster-up: ## Start Kubernetes on this machine (as root; CLUSTER_NODES=2): under 20 s, 10 minutes the first time
	$(cluster) up

cluster-down: ## End it and leave nothing behind
	$(cluster) down

cluster-status: ## Its machines, programs, memory and nodes
	@$(cluster) status

cluster-verify: ## Check the local cluster itself: services, DNS, disruption, autoscaling, nodes that fail
	tests/cluster/verify/run

kubectl-env: ## Print export lines for kubectl: eval "$(make -s kubectl-env)"
	@$(cluster) env
