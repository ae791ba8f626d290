#!/usr/bin/env bash
# Prints config/default, or another overlay, with the operator's image set, and leaves config/ as it is.
#
#   hack/render.sh IMAGE [DIRECTORY]    for example config/overlays/sharded
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image=${1:?which image? Give IMG=registry/name:tag}
from=${2:-config/default}
[[ -e $from/kustomization.yaml ]] || {
  echo "There is no kustomization in $from. Give OVERLAY=config/default, or a directory below config/overlays." >&2
  exit 1
}
kustomize() { go tool -modfile="$root/hack/tools/kustomize/go.mod" kustomize "$@"; }

# An overlay of its own, in a git-ignored place inside the repository: kustomize wants a relative path to its base.
root=$PWD
mkdir -p bin
overlay=$(mktemp -d bin/overlay.XXXXXX)
trap 'rm -rf "$root/$overlay"' EXIT
cd "$overlay"
kustomize create --resources "../../$from"
kustomize edit set image "secret-server-operator=$image"
kustomize build .
