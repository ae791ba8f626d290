#!/usr/bin/env bash
# Looks for known vulnerabilities in what the operator calls. Fails on a finding, and when the database cannot be reached,
# unless VULNDB_OPTIONAL is set: then it only says, loudly, that nothing was checked.
#
# GOVULNDB, when set, is the database's address, a mirror or a file:// directory; otherwise govulncheck's own is used.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

govulncheck() {
  go tool -modfile=hack/tools/govulncheck/go.mod govulncheck ${GOVULNDB:+-db="$GOVULNDB"} "$@"
}

# govulncheck's exit code does not tell an unreachable database from other errors, but -version tells the database's date
# exactly when the database answered.
version=$(govulncheck -version)
if [[ $version != *"DB updated:"* ]]; then
  cat >&2 <<MESSAGE
*********************************************************************************************
  NOT CHECKED for known vulnerabilities: the database cannot be reached.
  ${version//$'\n'/$'\n'  }
  Give access to it, or set GOVULNDB to a mirror (https://... or file:///...), and run
  \`make vulncheck\` again.
*********************************************************************************************
MESSAGE
  [[ ${VULNDB_OPTIONAL:-} ]] || exit 1
  exit 0
fi
echo "$version"
hack/progress.sh "checking for known vulnerabilities" \
  go tool -modfile=hack/tools/govulncheck/go.mod govulncheck ${GOVULNDB:+-db="$GOVULNDB"} ./...
