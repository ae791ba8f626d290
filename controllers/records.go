package controllers

import (
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

// encode is the stored form of a record that is about to be written.
func (r *Records) encode(record session.Record) (string, error) {
	text, err := record.Encode()
	if err == nil && r != nil {
		r.known.Add(text, record)
	}
	return text, err //nolint:wrapcheck // as session says it
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

// keep is session.Keep.
func (r *Records) keep(text string) session.Kept {
	record, err := r.decode(text)
	if err != nil {
		return session.KeepText(text)
	}
	return session.KeepRecord(record, text)
}
