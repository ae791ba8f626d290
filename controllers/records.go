package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/lru"

	"tokensync.dev/secret-server-operator/controllers/session"
)

// Records remembers the records that were written last. The API server's answer and the watch show each of them again within moments,
// and to decode it takes longer than what is done with it then. A nil *Records remembers nothing. It is safe for concurrent use.
type Records struct{ known *lru.Cache }

// mostRecords bounds the memory: as many as are on their way at a time, and more. One that is forgotten is decoded.
const mostRecords = 128

// NewRecords returns an empty one. Setup and CacheOptions need the same to have something of it.
func NewRecords() *Records { return &Records{lru.New(mostRecords)} }

// wrote takes a record and its stored form.
func (r *Records) wrote(text string, record session.Record) {
	if r != nil {
		r.known.Add(text, record)
	}
}

// decode is session.Decode.
func (r *Records) decode(text string) (session.Record, error) {
	if r != nil {
		if known, ok := r.known.Get(text); ok {
			return known.(session.Record), nil //nolint:forcetypeassert // nothing else is put in
		}
	}
	return session.Decode(text)
}

// readState is the function of that name.
func (r *Records) readState(secret *corev1.Secret) (stored, error) {
	record, err := r.decode(secret.Annotations[annotationRecord])
	if err != nil {
		return stored{}, fmt.Errorf("%w: %w", errState, err)
	}
	return stateWith(secret, record)
}

// keep is session.Keep.
func (r *Records) keep(text string) session.Kept {
	record, err := r.decode(text)
	if err != nil {
		return session.KeepText(text)
	}
	return session.KeepRecord(record, text)
}
