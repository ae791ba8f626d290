#!/usr/bin/env bash
# Runs golangci-lint in every module that has Go code, with the root's .golangci.yml. Arguments go to golangci-lint.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

tool=(go tool -modfile="$root/hack/tools/golangci-lint/go.mod")
# -n builds the tool, or finds it in Go's cache, without running it.
hack/progress.sh "compiling golangci-lint (some 2 minutes the first time on two cores)" \
  "${tool[@]}" -n golangci-lint >/dev/null

# The same flags as `make build`, so that the operator's dependencies are compiled once for both.
GOFLAGS="$(go env GOFLAGS) -trimpath"
export GOFLAGS CGO_ENABLED=0

failed=
for module in $(hack/modules.sh --code); do
  (cd "$module" && "$root/hack/progress.sh" linting "${tool[@]}" golangci-lint "$@" --config="$root/.golangci.yml" ./...) ||
    failed+=" $module"
done
if [[ $failed ]]; then
  echo "golangci-lint has something to say in module$failed; see above. Formatting is fixed by: make fmt" >&2
  exit 1
fi
