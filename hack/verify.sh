#!/usr/bin/env bash
# Fails when a file differs from what the tools make of its sources, and names it: generated code and manifests, go.mod and
# go.sum, formatting, and kustomizations that do not render.
#
# Everything happens in a copy of the tree as it stands, uncommitted work included: every file that git tracks or would
# track. `git diff --exit-code` after regenerating in place would be wrong twice: on a dirty tree it also rejects generated
# files that are fresh but not committed yet, and a check must not change what it checks. In a fresh clone both are the same
# question, and there a generated file that nobody added is missing, hence reported.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE # set by git hooks; the copy is a repository of its own

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard |
  while IFS= read -rd '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
  tar -c --null -T - -f - | tar -x -C "$copy" -f -
cd "$copy"
git init --quiet --initial-branch=main
git add --all

problems=0
problem() {
  problems=$((problems + 1))
  printf '\nverify: %s\n' "$*" >&2
}

echo "verify: formatting"
unformatted=$(git ls-files -z '*.go' | xargs -0 gofmt -l) || problem "gofmt fails; see above."
[[ ! $unformatted ]] || problem $'these files are not formatted. Run `make fmt` and commit the result:\n'"$unformatted"

echo "verify: generated files"
if make --no-print-directory generate manifests chart; then
  stale=$(git status --porcelain --untracked-files=all |
    sed -n 's/^AM /  differs:             /p; s/^AD /  should not be there: /p; s/^?? /  is missing:          /p')
  if [[ $stale ]]; then
    git --no-pager diff >&2
    problem $'these files are not what their sources make of them. Run `make generate manifests chart` and commit the result:\n'"$stale"
  fi
else
  problem "make generate manifests chart fails; see above."
fi

echo "verify: go.mod and go.sum of every module"
for module in $("$root/hack/modules.sh"); do
  (cd "$module" && "$root/hack/progress.sh" "tidying $module" go mod tidy -diff >&2) ||
    problem "go.mod or go.sum of module $module is not as go mod tidy would leave it; see above. Run \`go mod tidy\` in $module and commit the result."
done

echo "verify: kustomizations"
git ls-files '*kustomization.yaml' >.git/kustomizations
while read -r file; do
  go tool -modfile=hack/tools/kustomize/go.mod kustomize build "$(dirname "$file")" >/dev/null ||
    problem "$file does not render; see above."
done <.git/kustomizations

echo "verify: scripts"
for script in $(git grep -lI '^#!/usr/bin/env bash'); do
  bash -n "$script" || problem "$script is not a valid script; see above."
  [[ -x $script ]] || problem "$script is not executable. Run \`chmod +x $script\`."
done

if ((problems)); then
  printf '\nverify: %d problem(s), told above.\n' "$problems" >&2
  exit 1
fi
echo "verify: nothing differs"
