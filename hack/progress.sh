#!/usr/bin/env bash
# Runs a command and says on standard error every 20 seconds that it still runs.
#
#   hack/progress.sh WHAT COMMAND [ARGUMENT...]
#
# Exits as the command does.
set -euo pipefail

what=$1
shift

# report: speaks until its standard input ends, which it does when this script closes it, however the command ended.
# (A read that times out returns more than 128.)
report() {
  local status
  while true; do
    status=0
    read -rt 20 || status=$?
    ((status > 128)) || return 0
    echo "still $what, ${SECONDS} s" >&2
  done
}

exec 8> >(report)
status=0
"$@" 8>&- || status=$?
exec 8>&-
exit "$status"
