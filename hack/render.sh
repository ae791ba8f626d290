#!/usr/bin/env bash
# Prints config/default with the operator's image set, and leaves config/ as it is.
#
#   hack/render.sh IMAGE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image=${1:?which image? Give IMG=registry/name:tag}
kustomize() { go tool -modfile="$root/hack/tools/kustomize/go.mod" kustomize "$@"; }

# An overlay of its own, in a git-ignored place inside the repository: kustomize wants a relative path to its base.
root=$PWD
mkdir -p bin
overlay=$(mktemp -d bin/overlay.XXXXXX)
trap 'rm -rf "$root/$overlay"' EXIT
cd "$overlay"
kustomize create --resources ../../config/default
kustomize edit set image "secret-server-operator=$image"
kustomize build .
