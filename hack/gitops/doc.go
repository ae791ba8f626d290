// Package gitops has only tests: the built operator on a real control plane, in front of a fake Secret Server, with its objects
// applied as GitOps tools do it: on the server, by their field managers. What they make of a session's health is had from kstatus in
// the version that Flux uses, and from Argo CD's kind of Lua interpreter with the libraries that it opens for health scripts.
//
// It is a module of its own because of these. The tests need KUBEBUILDER_ASSETS, as `make test` sets it.
package gitops
