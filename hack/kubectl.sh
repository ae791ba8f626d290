#!/usr/bin/env bash
# Runs kubectl: the one in PATH, else the one of the control plane in bin/k8s, which it builds when it has to.
set -euo pipefail

if command -v kubectl >/dev/null; then exec kubectl "$@"; fi
assets=$("$(dirname "${BASH_SOURCE[0]}")/controlplane/build.sh")
[[ -x $assets/kubectl ]] || {
  echo "There is no kubectl in PATH, nor in KUBEBUILDER_ASSETS ($assets). Install kubectl, or unset KUBEBUILDER_ASSETS." >&2
  exit 1
}
exec "$assets/kubectl" "$@"
