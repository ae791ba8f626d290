# `make` alone lists the targets. Needed: Go, make, git and bash, and a C compiler for the race detector in `make test`.
# Everything else is built from Go modules whose versions are pinned, into bin/ and Go's own cache; nothing is installed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
# One thing at a time: two compilations at once only get in each other's way, and the order of `all` matters.
.NOTPARALLEL:
# A go.work in a directory above must not change what is built here.
export GOWORK := off

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Of the commit, and not of the clock, so that the same commit gives the same bytes.
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DATE ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo unknown)
# What the operator runs on.
PLATFORMS ?= linux/amd64 linux/arm64
DIST ?= dist
# The operator's image: where docker-build puts it and deploy takes it from.
IMG ?= secret-server-operator:$(VERSION)
CONTAINER_TOOL ?= docker
# What deploy, undeploy and build-installer render: the whole operator, or another overlay of config/.
OVERLAY ?= config/default
# Flags of `make run`. The endpoints are on this machine only, and without TLS.
RUN_ARGS ?= --metrics-bind-address=127.0.0.1:8080 --metrics-secure=false --health-probe-bind-address=127.0.0.1:8081
# How long `make soak` watches.
SOAK ?= 5m
# How long `make fuzz` runs each target.
FUZZTIME ?= 60s
# How many trials each scope of `make crash-safety` makes.
CHECKS ?= 1500
# How long `make outage` keeps Secret Server down.
OUTAGE ?= 10m
# Flags of `make bench`, for example BENCH_ARGS='-parts=saturated -saturated=30m'; `bin/bench -h` tells them.
BENCH_ARGS ?=
# How often `make microbench` runs each benchmark; benchstat wants ten.
BENCH_COUNT ?= 1
# The packages with steps of a refresh that need no server.
COSTED := ./controllers ./controllers/session ./controllers/secretserver
# Flags of go test, for example TEST_ARGS='-run TestDecide -v'.
TEST_ARGS ?=

# The tools' versions are in their own go.mod. Go compiles a tool at its first use, up to a minute, and caches it.
tool = hack/progress.sh "running $(1)" go tool -modfile=hack/tools/$(1)/go.mod $(1)
CONTROLLER_GEN := $(call tool,controller-gen)
KUSTOMIZE := $(call tool,kustomize)
CRD_REF_DOCS := $(call tool,crd-ref-docs)
KUBECTL := hack/kubectl.sh
# Static and without paths of this machine, as in the image. golangci-lint and the control plane are given the same flags:
# packages compiled for one serve the others.
GO_BUILD := CGO_ENABLED=0 hack/progress.sh compiling go build -trimpath -buildvcs=false
# What is released, and what is measured, is compiled for what the operator does under saturation; see `make pgo`. All that it is built of
# is compiled once more for that, so that the other targets do without. Make builds bin/manager once: as the first target wants it, if
# there are several.
PGO := off
build-all bench profile footprint: PGO := operator.pgo
# With PGO, exactly those of the Dockerfile, so that this is the program in the image, byte for byte.
OPERATOR_LDFLAGS = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

IMAGE_ARGS = --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg DATE=$(DATE)
comma := ,
space := $(subst ,, )

##@ General

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: all
all: generate manifests chart fmt lint test build ## Generate, format, lint, test and build: before every commit.

.PHONY: clean
clean: ## Remove what was built, the control plane included. Go's cache stays.
	rm -rf bin dist cover.out

##@ Development

.PHONY: generate
generate: ## Generate the deep copies, apply configurations and reference (docs/api-reference.md) of the API types.
	@# First removed, so that a type that is gone leaves nothing behind.
	rm -rf api/v1alpha1/applyconfiguration
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt applyconfiguration:headerFile=hack/boilerplate.go.txt \
	  paths=./api/v1alpha1
	$(CRD_REF_DOCS) --source-path=./api/v1alpha1 --config=hack/api-reference/config.yaml --templates-dir=hack/api-reference/templates \
	  --renderer=markdown --output-path=docs/api-reference.md --log-level=ERROR

.PHONY: manifests
manifests: ## Generate the CRD and the operator's role from the markers in api/ and controllers/.
	@# crd:maxDescLen stays unset: kubectl explain then tells every comment whole.
	rm -rf config/crd/bases config/rbac/role.yaml
	$(CONTROLLER_GEN) crd rbac:roleName=manager-role paths='./api/v1alpha1;./controllers' \
	  output:crd:artifacts:config=config/crd/bases output:rbac:artifacts:config=config/rbac

.PHONY: chart
chart: ## Bring the Helm chart's copies of files in config/, and the table in docs/helm.md, up to date.
	go run ./hack/chart

.PHONY: fmt
fmt: ## Format the Go code and sort its imports.
	hack/golangci-lint.sh fmt

.PHONY: vet
vet: ## Run go vet in every module that has code.
	@for module in $$(hack/modules.sh --code); do \
	  (cd $$module && CGO_ENABLED=0 go vet -trimpath ./...) || failed=1; \
	done; [[ ! $${failed:-} ]]

.PHONY: lint
lint: ## Run golangci-lint in every module that has code.
	hack/golangci-lint.sh run

.PHONY: verify
verify: ## Fail if anything generated, tidied or formatted differs from the tree; changes nothing.
	hack/verify.sh

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in what the operator calls (VULNDB_OPTIONAL=1: or say that none were looked for).
	VULNDB_OPTIONAL=$(VULNDB_OPTIONAL) hack/vulncheck.sh

.PHONY: test
test: ## Run all tests with the race detector, on a real API server (TEST_ARGS for go test).
	hack/test.sh $(TEST_ARGS)

.PHONY: test-e2e
test-e2e: ## Run real pods in the cluster of KUBECONFIG, or one of its own (hack/e2e.sh tells what it needs; TEST_ARGS for the suite).
	hack/e2e.sh $(TEST_ARGS)

.PHONY: test-chart
test-chart: ## Check the Helm chart: its schema, what it renders, and the life of a release on a real API server.
	hack/chart/test.sh $(TEST_ARGS)

.PHONY: soak
soak: ## Watch sessions for SOAK=5m: no pod sees an expired token, an idle session costs nothing.
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets SOAK=$(SOAK) \
	  go test -count=1 -timeout=30m ./controllers -run=TestControllers -v -ginkgo.v -ginkgo.focus='expired token|while the token is not due'

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME=60s, one after the other (`make test` runs their seeds).
	hack/fuzz.sh $(FUZZTIME)

.PHONY: crash-safety
crash-safety: ## Break the operator in memory, CHECKS=1500 times in each of nine ways: some minutes.
	CRASH_CHECKS=$(CHECKS) go test -count=1 -timeout=60m ./controllers -run=TestCrashSafety -v

.PHONY: outage
outage: ## Take Secret Server away from 2,000 sessions for OUTAGE=10m, three times: how often is it asked, how soon are all current?
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets OUTAGE=$(OUTAGE) \
	  go test -count=1 -timeout=90m ./controllers -run=TestControllers -v -ginkgo.v -ginkgo.focus='goes down for all its sessions'

.PHONY: chaos
chaos: build ## Let everything go wrong, and see sessions survive (CHAOS_SECONDS=900, CHAOS_SEED, CHAOS_SESSIONS=100).
	$(GO_BUILD) -o bin/chaos ./hack/chaos
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets \
	  CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_SEED=$(CHAOS_SEED) CHAOS_SESSIONS=$(CHAOS_SESSIONS) exec bin/chaos

.PHONY: docs-verify
docs-verify: build build-installer ## Check the documents, and run the commands that they tell to give (DOCS: pages, by default all).
	go test -count=1 ./docs ./hack/markdown ./hack/docs-verify
	$(GO_BUILD) -o bin/docs-verify ./hack/docs-verify
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets exec bin/docs-verify $(DOCS)

.PHONY: footprint
footprint: build ## Measure memory and processor time of the operator, for the requests and limits in config/manager: some minutes.
	$(GO_BUILD) -o bin/footprint ./hack/footprint
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets exec bin/footprint

.PHONY: test-alerts
test-alerts: build ## Test alerts and dashboard with promtool, and with a Prometheus that scrapes the operator: some minutes.
	@command -v prometheus >/dev/null && command -v promtool >/dev/null || { \
	  echo 'prometheus and promtool are not in PATH. Debian, Ubuntu: apt-get install --no-install-recommends prometheus' >&2; exit 1; }
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets MANAGER=$(CURDIR)/bin/manager \
	  go test -count=1 -timeout=20m ./hack/observability -v

# bench-build also builds the servers that are measured against, as processes of their own.
.PHONY: bench-build
bench-build: build
	$(GO_BUILD) -o bin/fake-secret-server ./hack/fake-secret-server
	cd hack/bench && CGO_ENABLED=0 ../progress.sh compiling go build -trimpath -o ../../bin/bench .

.PHONY: bench
bench: bench-build ## Measure what the operator costs, against a bare client: 20 minutes on two cores (BENCH_ARGS).
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets exec bin/bench -strict $(BENCH_ARGS)

.PHONY: bench-smoke
bench-smoke: allocations bench-build ## Count allocations, and the requests of a refresh, of an idle operator and of a restart: a minute, on any machine.
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets exec bin/bench -smoke -out=bin/bench-smoke.out

# Without the race detector, with which `make test` runs the same tests: it allocates too, and the bounds leave room for that there.
.PHONY: allocations
allocations: ## Hold what the steps of a refresh allocate to their exact bounds.
	@counted=$$(CGO_ENABLED=0 go test -trimpath -count=1 -run='^(TestCostsAreBounded|TestDecodingAGrantAllocatesLittle)$$' $(COSTED)) || \
	  { echo "$$counted"; exit 1; }; \
	echo "$$counted"; \
	! grep 'no tests to run' <<<"$$counted" || { echo 'The tests that bound allocations are gone, or have other names by now.' >&2; exit 1; }

.PHONY: profile
profile: bench-build ## Profile the operator under saturation: bin/profile.out/saturated/{cpu,heap,allocs}.pprof.
	$(GO_BUILD) -pgo=$(PGO) -tags=profiling -o bin/manager-profiling .
	@assets=$$(hack/controlplane/build.sh) && PROFILING=127.0.0.1:6060 KUBEBUILDER_ASSETS=$$assets \
	  exec bin/bench -parts=saturated -operator=bin/manager-profiling -out=bin/profile.out $(BENCH_ARGS)

.PHONY: pgo
pgo: profile ## Take the profile anew that releases are compiled for: operator.pgo. After larger changes; it may be old, and then does less.
	cp bin/profile.out/saturated/operator.pgo operator.pgo

.PHONY: microbench
microbench: ## Benchmark the steps of a refresh that need no server, for benchstat (BENCH_COUNT=10).
	go test -run='^$$' -bench=. -benchmem -count=$(BENCH_COUNT) $(COSTED)

.PHONY: controlplane
controlplane: ## Build etcd, kube-apiserver, kube-controller-manager and kubectl into bin/k8s.
	hack/controlplane/build.sh

##@ Running

.PHONY: build
build: ## Build the operator: bin/manager.
	$(GO_BUILD) -pgo=$(PGO) -ldflags='$(OPERATOR_LDFLAGS)' -o bin/manager .

.PHONY: build-all
build-all: ## Build the operator for all PLATFORMS, with checksums: dist/manager-*.
	mkdir -p $(DIST)
	@for platform in $(PLATFORMS); do \
	  echo "building for $$platform" && \
	  GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO_BUILD) -pgo=$(PGO) -ldflags='$(OPERATOR_LDFLAGS)' -o $(DIST)/manager-$${platform//\//-} . || exit 1; \
	done
	cd $(DIST) && sha256sum $(foreach p,$(PLATFORMS),manager-$(subst /,-,$(p))) > SHA256SUMS

.PHONY: verify-image
verify-image: ## Run the Dockerfile's build, without an engine, in two places: are the bytes those of `make build-all`?
	cd hack/image && go test -count=1 -timeout=30m -v ./...

.PHONY: sbom
sbom: build-all ## Write what the operator is built of, as CycloneDX: dist/manager-*.cdx.json.
	hack/sbom.sh $(VERSION) $(foreach p,$(PLATFORMS),$(DIST)/manager-$(subst /,-,$(p)))

.PHONY: demo
demo: build ## Show the operator at work on a control plane of its own (DEMO_SECONDS: end by itself).
	$(GO_BUILD) -o bin/demo ./hack/demo
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets DEMO_SECONDS=$(DEMO_SECONDS) exec bin/demo

.PHONY: screens
screens: build ## Write into the documents what kubectl shows of sessions in several states (SCREENS_ARGS=--check: only compare).
	$(GO_BUILD) -o bin/screens ./hack/screens
	@assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets exec bin/screens $(SCREENS_ARGS) README.md docs/troubleshooting.md

.PHONY: run
run: build ## Run the operator here, against the current kubeconfig (after `make install`).
	bin/manager $(RUN_ARGS)

##@ Deployment (to the cluster of the current kubeconfig)

.PHONY: install
install: ## Install the CRD.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) apply --server-side -f -
	$(KUBECTL) wait --for=condition=Established --timeout=60s crd/secretserversessions.secretserver.tokensync.dev

.PHONY: uninstall
uninstall: ## Remove the CRD, and with it every session and its Secrets.
	@# The sessions first: a running operator revokes the tokens of those that ask for it, and then lets them go.
	hack/remove-sessions.sh
	$(KUSTOMIZE) build config/crd | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: deploy
deploy: ## Deploy the operator with its CRD (IMG=registry/name:tag, OVERLAY=config/default).
	hack/render.sh $(IMG) $(OVERLAY) | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: ## Remove the operator and its CRD, and with it every session and its Secrets (OVERLAY as it was deployed).
	@[[ $(OVERLAY) != *namespaced* ]] || { echo 'That would delete the sessions of all namespaces: see docs/install.md.' >&2; exit 1; }
	@# The sessions first, as long as the operator is there.
	hack/remove-sessions.sh
	hack/render.sh $(IMG) $(OVERLAY) | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: build-installer
build-installer: ## Write all that `make deploy` applies to dist/install.yaml (IMG=registry/name:tag, OVERLAY=config/default).
	mkdir -p dist
	hack/render.sh $(IMG) $(OVERLAY) > dist/install.yaml

.PHONY: docker-build
docker-build: ## Build the operator's image (IMG=registry/name:tag, CONTAINER_TOOL=docker).
	$(CONTAINER_TOOL) build $(IMAGE_ARGS) -t $(IMG) .

.PHONY: docker-buildx
docker-buildx: ## Build the image for all PLATFORMS and push it (IMG=registry/name:tag); needs docker buildx.
	@# With the commit's time everywhere, the same commit and the same base give the same image, not only the same program; the
	@# base's tag moves unless the Dockerfile's BASE is pinned by digest.
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(CONTAINER_TOOL) buildx build $(IMAGE_ARGS) --platform=$(subst $(space),$(comma),$(PLATFORMS)) \
	  --provenance=mode=max --sbom=true --output=type=image,name=$(IMG),push=true,rewrite-timestamp=true .

.PHONY: docker-push
docker-push: ## Push the operator's image (IMG=registry/name:tag).
	$(CONTAINER_TOOL) push $(IMG)
