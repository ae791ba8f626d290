#!/usr/bin/env bash
# Builds etcd, kube-apiserver, kube-controller-manager and kubectl from the Go
# module proxy into bin/k8s; the go.mod and go.sum of etcd/ and kubernetes/
# beside this script pin every version. A program that was built from the same
# files by the same Go is left alone. With KUBEBUILDER_ASSETS set, nothing is
# built: its programs are used instead.
#
# Standard output is one line, the directory of the programs. In a Makefile:
#
#   assets=$$(hack/controlplane/build.sh) && KUBEBUILDER_ASSETS=$$assets go test ./...
#
# (KUBEBUILDER_ASSETS=$$(...) go test would run the tests after a failed build.)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repo=$(cd "$here/../.." && pwd -P)
out=$repo/bin/k8s
progress_every=15 # seconds

say() { printf 'control plane: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# use_assets DIR: accepts a directory of programs that somebody else made.
use_assets() {
  local program present=() missing=()
  [[ -d $1 ]] || die "KUBEBUILDER_ASSETS is not a directory: $1. Correct it, or unset it to build the programs."
  for program in etcd kube-apiserver kubectl kube-controller-manager; do
    if [[ -x $1/$program ]]; then present+=("$program"); else missing+=("$program"); fi
  done
  say "KUBEBUILDER_ASSETS has: ${present[*]:-none of the programs}; missing: ${missing[*]:-none}"
  [[ -x $1/etcd && -x $1/kube-apiserver ]] ||
    die "etcd and kube-apiserver are needed. Add them to $1, or unset KUBEBUILDER_ASSETS to build them."
  [[ -x $1/kube-controller-manager ]] ||
    say "without kube-controller-manager, owned objects are not collected and deleted namespaces stay"
  (cd "$1" && pwd -P)
}

# lock: one build at a time; the others wait and then find everything built.
lock() {
  command -v flock >/dev/null || return 0
  exec 9>"$out/.lock"
  flock -n 9 || {
    say "waiting for another build of this directory to end"
    flock 9
  }
}

# report_progress PROGRAM: says every few seconds that the build goes on, until
# standard input ends. (A read that times out returns more than 128.)
report_progress() {
  local start=$SECONDS status
  while true; do
    status=0
    read -rt "$progress_every" || status=$?
    ((status > 128)) || return 0
    say "still building $1, $((SECONDS - start)) s"
  done
}

# build PROGRAM MODULE PACKAGE LDFLAGS [NOTE]: builds a package of the module in
# that directory, unless the stamp beside the program says that nothing changed.
build() {
  local program=$1 module=$2 package=$3 note=${5:-} start=$SECONDS want
  local flags=(-trimpath -buildvcs=false "-ldflags=-s -w $4")
  local stamp=$out/.$program.built-from
  cd "$here/$module"
  want=$(
    go env GOVERSION GOOS GOARCH
    echo "$package ${flags[*]}"
    cksum go.mod go.sum
  )
  if [[ -x $out/$program && -e $stamp && $(<"$stamp") == "$want" ]]; then return; fi

  say "building $program${note:+ ($note)}"
  exec 8> >(report_progress "$program" >&2)
  go build "${flags[@]}" -o "$out/.$program.new" "$package" >&2 8>&- 9>&- ||
    die "$program could not be built; Go says why above. If a download failed, check that GOPROXY" \
      "($(go env GOPROXY)) can be reached; if the disk is full, make room. Then run this again:" \
      "what was compiled so far is kept."
  exec 8>&-
  rm -f "$stamp"
  mv "$out/.$program.new" "$out/$program"
  echo "$want" >"$stamp"
  say "built $program in $((SECONDS - start)) s"
}

if [[ ${KUBEBUILDER_ASSETS:-} ]]; then
  use_assets "$KUBEBUILDER_ASSETS"
  exit
fi

command -v go >/dev/null || die "there is no go in PATH. Install Go 1.26 or newer from https://go.dev/dl."
GOOS=$(go env GOHOSTOS)
GOARCH=$(go env GOHOSTARCH)
# The same programs for everybody, whatever flags and target Go is told otherwise.
export GOOS GOARCH CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly
mkdir -p "$out" || die "$out cannot be written. Make it writable, or set KUBEBUILDER_ASSETS."
lock

version=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2 }' "$here/kubernetes/go.mod")
IFS=. read -r major minor _ <<<"${version#v}"
x=k8s.io/component-base/version
stamped="-X $x.gitVersion=$version -X $x.gitMajor=$major -X $x.gitMinor=$minor -X $x.gitTreeState=clean"

k8s=k8s.io/kubernetes/cmd

build etcd etcd go.etcd.io/etcd/server/v3 "" "about a minute the first time"
build kube-apiserver kubernetes $k8s/kube-apiserver "$stamped" \
  "$version; some 4 minutes the first time on two cores, seconds once Go's build cache is warm"
build kube-controller-manager kubernetes $k8s/kube-controller-manager "$stamped" "$version; a minute or more the first time"
build kubectl kubernetes $k8s/kubectl "$stamped" "$version"
echo "$out"
