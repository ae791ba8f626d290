#!/usr/bin/env bash
# Runs the suite of hack/e2e: installs the operator in a cluster as users do, and has pods call a fake Secret Server with the token
# that they have mounted. Prints a table of the scenarios at the end, which stays in bin/e2e/report.txt. Arguments go to the suite:
#
#   hack/e2e.sh [-ginkgo.focus=TEXT]
#
# In the environment:
#   KUBECONFIG           the cluster. The operator must not be installed in it: the suite removes it with all sessions.
#   E2E_LOAD_IMAGE       the command that brings an image into the cluster. It is called with NAME:TAG and the static binary that the
#                        image is of, and found by bash, so that it may be several words or call a function.
#   E2E_IMAGES           what the images' names begin with; default localhost/secret-server-operator
#   CONTAINER_TOOL       docker (default) or podman. If it works, it makes the images, the operator's from the Dockerfile.
#   E2E_CLUSTER          directory of the one-node cluster that is built, started and stopped if KUBECONFIG is not set;
#                        default ../shared/cluster. It needs root.
#   E2E_REFRESH_PERCENT  spec.refresh.percent of the sessions that pods are watched with; default 40
#   E2E_TOKEN_LIFETIME   lifetime of their tokens; by default as short as docs/mounting.md allows with the cluster's kubelets
#   E2E_WATCH            how long the longest watch lasts; by default three lifetimes, and 90s at least
#
# For a kind cluster, for example:  E2E_LOAD_IMAGE='f() { kind load docker-image "$1"; }; f' hack/e2e.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
cluster=${E2E_CLUSTER:-../shared/cluster}
[[ ! -d $cluster ]] || cluster=$(cd "$cluster" && pwd -P) # the suite is run in another directory
tool=${CONTAINER_TOOL:-docker}

say() { printf 'e2e: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# engine: whether there is something that makes images.
engine() { command -v "$tool" && "$tool" info; } &>/dev/null

# load IMAGE BINARY brings an image into the cluster.
load() {
  if [[ ${E2E_LOAD_IMAGE:-} ]]; then
    bash -euo pipefail -c "$E2E_LOAD_IMAGE"' "$@"' E2E_LOAD_IMAGE "$@"
  elif engine; then
    "$tool" save "$1" | "$cluster/image" --load -
  else
    "$cluster/image" "$@"
  fi >&2
}

# image BINARY makes an image of a static binary below bin/e2e, loads it and prints its name, which changes with its content.
image() {
  local binary=bin/e2e/$1 image
  image=${E2E_IMAGES:-localhost/secret-server-operator}/$1:$(sha256sum "$binary" | cut -c1-12)
  if engine; then
    say "building $image with $tool"
    case $1 in
    manager) make --no-print-directory docker-build IMG="$image" CONTAINER_TOOL="$tool" >&2 ;;
    *) "$tool" build --tag="$image" --file=- bin/e2e >&2 <<<"FROM scratch
COPY $1 /$1
USER 65532:65532
ENTRYPOINT [\"/$1\"]" ;;
    esac
  fi
  say "loading $image"
  load "$image" "$binary"
  echo "$image"
}

if [[ ${KUBECONFIG:-} ]]; then
  [[ ${E2E_LOAD_IMAGE:-} || -x $cluster/image ]] ||
    die "How do images get into the cluster of $KUBECONFIG? Set E2E_LOAD_IMAGE; $0 says how, at its top."
else
  [[ -x $cluster/up ]] ||
    die "There is no cluster: set KUBECONFIG and E2E_LOAD_IMAGE, or E2E_CLUSTER; $0 says how, at its top."
  ((EUID == 0)) || die "The one-node cluster in $cluster needs root. Run this as root, or set KUBECONFIG and E2E_LOAD_IMAGE."
fi

say "building the operator, the fake Secret Server and the consumer"
mkdir -p bin/e2e
export CGO_ENABLED=0
make --no-print-directory build PGO=operator.pgo >&2 # stamped and compiled as the Dockerfile does, so that an image without an engine has the same program
cp bin/manager bin/e2e/manager
hack/progress.sh compiling go build -trimpath -buildvcs=false -ldflags="-s -w" -o bin/e2e/ ./hack/fake-secret-server ./hack/e2e/consumer
hack/progress.sh "compiling the suite" go test -trimpath -buildvcs=false -c -o bin/e2e/suite ./hack/e2e

if [[ ! ${KUBECONFIG:-} ]]; then
  say "building the cluster, if it is not built yet: then it takes a quarter of an hour"
  "$cluster/build"
  trap '"$cluster/down"' EXIT
  KUBECONFIG=$("$cluster/up")
  export KUBECONFIG
  if ! command -v kubectl >/dev/null; then # take the one that was built with it
    mkdir -p bin/e2e/path
    ln -sf "${CLUSTER_HOME:-$HOME/.cache/one-node-cluster}/bin/kubectl" bin/e2e/path/kubectl
    export PATH=$root/bin/e2e/path:$PATH
  fi
fi

manager=$(image manager)
E2E_VAULT_IMAGE=$(image fake-secret-server)
E2E_CONSUMER_IMAGE=$(image consumer)
make --no-print-directory build-installer IMG="$manager" >&2
export E2E_VAULT_IMAGE E2E_CONSUMER_IMAGE E2E_INSTALLER=$root/dist/install.yaml E2E_REPORT=$root/bin/e2e/report.txt

say "running the scenarios"
cd hack/e2e
"$root/bin/e2e/suite" -test.v -test.timeout=3h -ginkgo.v -ginkgo.no-color "$@"
