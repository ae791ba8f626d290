#!/usr/bin/env bash
# Prints the directory of every Go module in this repository, one a line, the root's first.
#
#   hack/modules.sh          all of them
#   hack/modules.sh --code   those with Go files of their own; the others only pin tools
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

files() { git ls-files --cached --others --exclude-standard -- "$@"; }

while read -r file; do
  module=$(dirname "$file")
  [[ -e $file ]] || continue # deleted, but git still tracks it
  [[ ${1:-} != --code || $(files "$module/*.go") ]] || continue
  echo "$module"
done < <(files go.mod '*/go.mod')
