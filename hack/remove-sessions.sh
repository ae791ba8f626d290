#!/usr/bin/env bash
# Deletes all sessions while the operator is still there to revoke the tokens of those that ask for it. Those that it has not let go
# after a minute are freed of its finalizer, so that nothing waits for an operator that is gone. Arguments go to kubectl, and
# limit what is deleted:  hack/remove-sessions.sh --namespace=NAME
set -euo pipefail

seconds=${REMOVE_SECONDS:-60}
(($#)) || set -- --all-namespaces
sessions=secretserversessions.secretserver.tokensync.dev
finalizer=secretserver.tokensync.dev/revoke
kubectl() { "$(dirname "${BASH_SOURCE[0]}")/kubectl.sh" "$@"; }

# held SCOPE... lists the sessions that bear the finalizer: namespace, name, and the finalizer's place in the list.
held() {
  kubectl get "$sessions" "$@" -o go-template='{{range .items}}{{$m := .metadata}}{{range $i, $f := $m.finalizers}}
    {{- if eq $f "'$finalizer'"}}{{$m.namespace}} {{$m.name}} {{$i}}{{"\n"}}{{end}}{{end}}{{end}}'
}

[[ $(kubectl get crd "$sessions" --ignore-not-found -o name) ]] || exit 0
kubectl delete "$sessions" --all "$@" --wait=false
SECONDS=0 waiting=0
while left=$(held "$@") && [[ $left ]] && ((SECONDS < seconds)); do
  ((waiting++)) || echo "waiting until the operator lets the sessions go, $seconds seconds at most"
  sleep 1
done
[[ $left ]] || exit 0

echo "The operator has not let go of these. Their tokens stay valid at Secret Server until they expire:"
while read -r namespace name place; do
  # The finalizer may have gone since, and another have taken its place.
  kubectl patch "$sessions" "$name" --namespace="$namespace" --type=json -p '[
    {"op":"test","path":"/metadata/finalizers/'"$place"'","value":"'$finalizer'"},
    {"op":"remove","path":"/metadata/finalizers/'"$place"'"}]' || echo "$namespace/$name is left as it is" >&2
done <<<"$left"
