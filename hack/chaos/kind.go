package main

import "slices"

// A kind of fault, in the words of the table.
type kind string

// What Secret Server does.
const (
	vaultDown      kind = "refuses connections"
	vaultSlow      kind = "answers slowly"
	vaultHangs     kind = "takes a request and never answers"
	vaultHangsDone kind = "does what it is asked and never answers"
	vaultFails     kind = "status 500"
	vaultGateway   kind = "status 502 from a gateway"
	vaultThrottles kind = "status 429, Retry-After in seconds"
	vaultBusy      kind = "status 503, Retry-After as a date"
	vaultResets    kind = "resets before processing"
	vaultLoses     kind = "resets after processing"
	vaultHalves    kind = "half an answer"
	vaultHTML      kind = "HTML with status 200"
	vaultTruncates kind = "truncated JSON"
	vaultOmits     kind = "an answer without a token"
	vaultDrips     kind = "an answer that drips for ever"
)

// What an administrator of Secret Server and the users of the cluster do.
const (
	tokensWiped   kind = "all tokens wiped"
	tokenEnded    kind = "a token ended"
	wrongPassword kind = "a wrong password, later corrected"
	rotation      kind = "a password rotated on both sides"
	stateDeleted  kind = "a state Secret deleted"
	stateGarbled  kind = "a state Secret garbled"
	targetEdited  kind = "a target edited"
	targetDeleted kind = "a target deleted"
	sessionRemade kind = "a session deleted and made again"
)

// What happens to the operator's processes.
const (
	leaderReplaced  kind = "SIGKILL of the leader, its lease freed"
	leaderKilled    kind = "SIGKILL of the leader"
	standbyKilled   kind = "SIGKILL of the standby"
	leaderPaused    kind = "SIGSTOP of the leader beyond its lease"
	leaderStopped   kind = "SIGTERM of the leader"
	leaderPartition kind = "the leader cut off from the API server"
)

// What the API server, and the way to it, do to the operator.
const (
	apiDown      kind = "kube-apiserver down"
	etcdDown     kind = "etcd down"
	apiCut       kind = "all connections cut"
	apiConflicts kind = "status 409"
	apiThrottles kind = "status 429 (API)"
	apiFails     kind = "status 500 (API)"
	apiHangs     kind = "no answer (API)"
	apiResets    kind = "resets before processing (API)"
	apiLoses     kind = "resets after processing (API)"
	apiSlowWatch kind = "slow watches"
)

// kindGroups are all kinds, by whom they befall.
var kindGroups = []struct { //nolint:gochecknoglobals // a table
	name  string
	kinds []kind
}{
	{"Secret Server", []kind{
		vaultDown, vaultSlow, vaultHangs, vaultHangsDone, vaultFails, vaultGateway, vaultThrottles, vaultBusy, vaultResets, vaultLoses,
		vaultHalves, vaultHTML, vaultTruncates, vaultOmits, vaultDrips, tokensWiped, tokenEnded,
	}},
	{"API server", []kind{
		apiDown, etcdDown, apiCut, apiConflicts, apiThrottles, apiFails, apiHangs, apiResets, apiLoses, apiSlowWatch,
	}},
	{"operator", []kind{leaderReplaced, leaderKilled, standbyKilled, leaderPaused, leaderStopped, leaderPartition}},
	{"credentials", []kind{wrongPassword, rotation}},
	{"objects", []kind{stateDeleted, stateGarbled, targetEdited, targetDeleted, sessionRemade}},
}

// Indexes of kindGroups.
const (
	groupVault = iota
	groupAPI
	groupOperator
	groupCredentials
	groupObjects
)

func (k kind) is(kinds []kind) bool { return slices.Contains(kinds, k) }

// takesServerDown reports whether a server, or the way to it, is not as it should be while such a fault lasts. What an
// administrator does to tokens is done at once, by a server that is well.
func (k kind) takesServerDown() bool {
	return k != tokensWiped && k != tokenEnded && (k.is(kindGroups[groupVault].kinds) || k.is(kindGroups[groupAPI].kinds))
}

// disturbsLeader reports whether such a fault may take the lease from its leader.
func (k kind) disturbsLeader() bool {
	return k.is(kindGroups[groupOperator].kinds) || k == apiDown || k == etcdDown
}
