// Package config has only tests: that the kustomizations beside it are what they say. They are rendered, applied to a real API server by
// those who are to apply them, and the built operator runs with the rights that they give it. Those of the last kinds need
// KUBEBUILDER_ASSETS, as `make test` sets it.
package config
