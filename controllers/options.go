package controllers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are what the command line decides.
type Options struct {
	// MaxConcurrentReconciles bounds how many sessions are worked on at a time.
	MaxConcurrentReconciles int
	// AllowedEndpoints restricts which Secret Servers sessions may name; empty: any.
	AllowedEndpoints AllowedEndpoints
	// RejectedCredentialsRetry is how long after a refusal the same credentials are tried again; 0: never.
	RejectedCredentialsRetry time.Duration
	// EndpointConcurrency bounds the requests at a time per Secret Server.
	EndpointConcurrency int
	// RequestTimeout bounds one request to the API server; 0: 15 seconds.
	RequestTimeout time.Duration
	// Leading reports whether this process is surely the leader, which alone may ask for grants; nil: it always is. It
	// must be quick, and safe for concurrent use.
	Leading func() bool
	// Records are those of CacheOptions; nil: what was written is decoded again.
	Records *Records
	// Metrics is where the operator's metrics are registered.
	Metrics prometheus.Registerer
}
