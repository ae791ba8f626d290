#!/usr/bin/env bash
# Runs the tests of every module with the race detector, the suites among them against a real kube-apiserver and etcd,
# which it builds when it has to. Arguments go to go test. The root module's coverage goes to cover.out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

read -ra compiler <<<"$(go env CC)"
command -v "${compiler[0]}" >/dev/null || {
  echo "The race detector needs a C compiler, and there is no ${compiler[0]} in PATH. Install one and run this again:" >&2
  echo "  Debian, Ubuntu: apt-get install gcc libc6-dev    Fedora: dnf install gcc    macOS: xcode-select --install" >&2
  exit 1
}

assets=$(hack/controlplane/build.sh)
export KUBEBUILDER_ASSETS=$assets CGO_ENABLED=1

failed=
for module in $(hack/modules.sh --code); do
  flags=(-race -timeout=20m)
  [[ $module != . ]] || flags+=(-coverprofile="$root/cover.out")
  echo "go test, module $module (the first time, everything is compiled with the race detector: some minutes)"
  (cd "$module" && "$root/hack/progress.sh" testing go test "${flags[@]}" "$@" ./...) || failed+=" $module"
done

go tool cover -func=cover.out | tail -1
if [[ $failed ]]; then
  echo "Tests failed in module$failed; see FAIL above. One test again: make test TEST_ARGS='-run NAME'" >&2
  exit 1
fi
