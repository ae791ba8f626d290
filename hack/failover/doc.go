// Package failover has only tests: two replicas of the built operator, as processes, on a real control plane and in front of a fake
// Secret Server. The leader is killed, paused beyond its lease, and stopped in order.
//
// Most of the time they wait for a lease to run out, so they run side by side. They need KUBEBUILDER_ASSETS, as `make test` sets it.
package failover
