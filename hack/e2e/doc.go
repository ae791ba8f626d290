// Package e2e is the suite of `make test-e2e`: the operator as users install it, in a cluster with real nodes, and pods that
// call a fake Secret Server with the token that they have mounted. hack/e2e.sh prepares what it needs; without that it is skipped.
package e2e
