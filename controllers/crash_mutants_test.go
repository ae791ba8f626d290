package controllers

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// mutant breaks the operator from outside: what it asks of the API server or of Secret Server is not what is done. So
// the proof that the properties notice needs no switch in the operator. The zero mutant breaks nothing.
type mutant struct {
	kubernetes func(*kubernetes)
	requests   func(*kubernetes, sendFunc) sendFunc
	vault      func(SecretServer) SecretServer

	heedless  bool // the operator does not heed that it may not lead
	unguarded bool // nor does the connection, when it is about to send a grant
}

type sendFunc = func(ctx context.Context, request apiRequest, do func() error) error

func (m mutant) spoil(k *kubernetes) {
	if m.kubernetes != nil {
		m.kubernetes(k)
	}
}

func (m mutant) wrap(k *kubernetes, send sendFunc) sendFunc {
	if m.requests == nil {
		return send
	}
	return m.requests(k, send)
}

// leading is what the operator hears when it asks whether it leads.
func (m mutant) leading(ask func() bool) func() bool {
	return func() bool { return ask() || m.heedless }
}

func (m mutant) server(s SecretServer) SecretServer {
	if m.vault == nil {
		return s
	}
	return m.vault(s)
}

// mutants are the ways of going wrong that matter, and what is said of each when it is found out.
var mutants = []struct {
	name  string
	story string // the one by which it is found out
	mutant
	found []string // one of these
}{
	{"the refresh token is not claimed", "a refresh", mutant{kubernetes: func(k *kubernetes) { k.forgetsPatches = true }},
		[]string{"unclaimed, which was sent"}},
	{"the refresh token is sent before it is claimed", "a refresh", mutant{requests: claimLate},
		[]string{"unclaimed, which was sent"}},
	{"the claim leaves the refresh token where it was", "a refresh", mutant{kubernetes: func(k *kubernetes) { k.copiesMoves = true }},
		[]string{"unclaimed, which was sent"}},
	{"the claim does not test the record", "a refresh", mutant{kubernetes: func(k *kubernetes) { k.forgetsTests = true }},
		[]string{"was replaced by", "what it cannot read", "was sent 2 times"}},
	{"updates of the state Secret do not test its version", "a first login", mutant{kubernetes: func(k *kubernetes) { k.anyUpdate = true }},
		[]string{"was replaced by", "unclaimed, which was sent", "was sent 2 times"}},
	{"the target is written whatever became of it", "a first login", mutant{kubernetes: func(k *kubernetes) { k.anyApply = true }},
		[]string{"belongs to somebody else", "at rest"}},
	{"a token is published before it is stored", "a first login", mutant{requests: storeLate},
		[]string{"was published and never stored", "are accounted for"}},
	{"a store that failed is taken for done", "a first login", mutant{requests: storeOrNot},
		[]string{"was published and never stored", "are accounted for"}},
	{"no login is announced", "a wrong password, and a crash at each answer", mutant{requests: neverIntend},
		[]string{"lock the account"}},
	{"no refusal is noted", "one wrong password after the other, and a restart after each", mutant{requests: neverNote},
		[]string{"lock the account"}},
	{"a refresh token is put back although it may have been sent", "a refresh", mutant{vault: func(s SecretServer) SecretServer { return optimist{s} }},
		[]string{"unclaimed, which was sent"}},
	{"a refresh token that was not sent is not put back", "a refresh", mutant{vault: func(s SecretServer) SecretServer { return pessimist{s} }},
		[]string{"are accounted for"}},
	{"the answer to a put-back is taken for granted", "a refresh", mutant{requests: neverPutBack},
		[]string{"are accounted for", "was published and never stored"}},
	{"a refresh is tried twice", "a refresh", mutant{vault: func(s SecretServer) SecretServer { return stubborn{SecretServer: s} }},
		[]string{"was sent 2 times"}},
	{"a login is tried twice", "one wrong password after the other, and a restart after each", mutant{vault: func(s SecretServer) SecretServer { return insistent{s} }},
		[]string{"lock the account"}},
	{"a refusal is taken for trouble of the server", "a wrong password, and the right one", mutant{vault: func(s SecretServer) SecretServer { return deaf{s} }},
		[]string{"lock the account"}},
	{"who may not lead goes on", "a refresh", mutant{heedless: true},
		[]string{"though it may not lead"}},
	{"who may not lead sends what it has begun", "a first login", mutant{unguarded: true},
		[]string{"sent by a process that may not lead"}},
	{"no finalizer is kept", "a first login that is to be revoked", mutant{requests: neverHold},
		[]string{"no finalizer would see to its end"}},
	{"the finalizer goes before the token is revoked", "a deletion", mutant{requests: removeEarly},
		[]string{"and is forgotten"}},
	{"a revocation is taken for done", "another password, and the former token", mutant{vault: func(s SecretServer) SecretServer { return complacent{s} }},
		[]string{"and is forgotten"}},
	{"the former token is revoked before its successor is published", "another password, and the former token", mutant{requests: publishLate},
		[]string{"and is still in the target"}},
	{"that a token is dead is forgotten", "access tokens that an administrator ends", mutant{requests: forgetEnd},
		[]string{"not well after"}},
	{"a new token is taken for as dead as the old one", "access tokens that an administrator ends", mutant{requests: keepEnd},
		[]string{"not well after", "did not settle"}},
	{"it is forgotten which one-time code was used", "another login, and the present one-time code has been used", mutant{requests: forgetCode},
		[]string{"was sent twice"}},
	{"the target tells the refresh token", "a first login", mutant{requests: tellAll},
		[]string{"a target tells"}},
}

// TestCrashSafetyFindsMutants proves that the properties notice what they are there for: each mutant is found out by a
// finite story, from the same seed, that the operator as it is passes in TestCrashSafetyAtEveryEffect.
func TestCrashSafetyFindsMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			s := stories[slices.IndexFunc(stories, func(s story) bool { return s.name == m.story })]
			said, _, trials := s.sweep(t, m.mutant)
			switch {
			case said == "":
				t.Fatalf("not found out in %d trials", trials)
			case !slices.ContainsFunc(m.found, func(reason string) bool { return strings.Contains(said, reason) }):
				t.Fatalf("found out, but for another reason: %s", said)
			}
			t.Logf("found out after %d trials", trials)
		})
	}
}
