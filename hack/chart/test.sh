#!/usr/bin/env bash
# Checks the Helm chart: helm's own lint, then the tests of hack/chart with helm and kustomize, and a real kube-apiserver. It
# builds what they need when it has to. Arguments go to go test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# built TOOL: the path of a tool in Go's cache, where -n puts it without running it.
built() {
  hack/progress.sh "compiling $1 (helm takes some minutes the first time)" go tool -modfile="hack/tools/$1/go.mod" -n "$1"
}

assets=$(hack/controlplane/build.sh)
HELM=$(built helm)
KUSTOMIZE=$(built kustomize)
export KUBEBUILDER_ASSETS=$assets HELM KUSTOMIZE

"$HELM" lint --strict charts/secret-server-operator
hack/progress.sh "testing the chart" go test -count=1 -timeout=15m "$@" ./hack/chart
