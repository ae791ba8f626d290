#!/usr/bin/env bash
# Writes what programs are built of, as CycloneDX, beside each of them as NAME.cdx.json. It is read from the program itself, so
# that nothing else gets in, and the same program gives the same file: it holds no time and no random number.
#
#   hack/sbom.sh VERSION PROGRAM...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=${1:?which version?}
shift
(($#)) || {
  echo "Which programs? For example: hack/sbom.sh v0.1.0 dist/manager-linux-amd64" >&2
  exit 1
}

for program; do
  sbom=$program.cdx.json
  hack/progress.sh "listing what $program is built of" go tool -modfile=hack/tools/cyclonedx-gomod/go.mod cyclonedx-gomod \
    bin -json -std -noserial -notimestamp -version="$version" -output="$sbom" "$program"

  count=0
  while read -r kind path module _; do
    [[ $kind == dep || $kind == '=>' ]] || continue
    count=$((count + 1))
    grep -qF "\"pkg:golang/$path@${module//+/%2B}?" "$sbom" || grep -qF "\"pkg:golang/$path@$module?" "$sbom" || {
      echo "$sbom lacks $path $module, which $program is built of." >&2
      exit 1
    }
  done < <(go version -m "$program")
  ((count)) || {
    echo "$program does not tell what it is built of." >&2
    exit 1
  }
  echo "$sbom: $count modules and Go's standard library"
done
