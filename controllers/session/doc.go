// Package session is the policy of the operator: what to do next for one Secret Server session, given what is known of
// it. It is pure: no clock, no network, no Kubernetes, and nothing but the standard library.
//
// The life of a session. A login (password grant) begins a chain. Each renewal spends the chain's refresh token, which
// works once, and receives the next. When no refresh token is left, or spending one gave no answer, a login begins the
// next chain. In between the token may be verified; one that the server has ended is renewed at once. Decide names the
// one next step; the caller takes it, observes again and asks again, until there is nothing to do.
package session
