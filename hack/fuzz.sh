#!/usr/bin/env bash
# Runs every fuzz target of the root module, one after the other, each for some time. What it finds that fails is written
# below testdata/ of the package, for a regression test; `make test` runs the seed corpora.
#
#   hack/fuzz.sh [TIME]    for example 60s, which is the default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
time=${1:-60s}

found=0
failed=
files=$(git grep -l --untracked '^func Fuzz' -- '*_test.go')
for package in $(xargs -n1 dirname <<<"$files" | sort -u); do
  for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$package"/*_test.go | sort); do
    found=$((found + 1))
    echo "fuzzing $target in ./$package for $time (at the first run, all that it imports is compiled for it: some minutes)"
    hack/progress.sh "fuzzing $target" go test "./$package" -run='^$' -fuzz="^$target\$" -fuzztime="$time" || failed+=" $target"
  done
done

if [[ $failed ]]; then
  echo "Fuzzing failed:$failed. The inputs are in testdata/ of the packages, see above; commit them with the correction." >&2
  exit 1
fi
((found)) || {
  echo "No fuzz target was found." >&2
  exit 1
}
echo "$found fuzz targets, none failed"
