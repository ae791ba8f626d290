// Package secretservertest is a Secret Server for tests, demonstrations and
// benchmarks. It speaks the part of the protocol that a client needs to log in,
// to keep a session alive, to check and end it, and to read a secret:
//
//	POST {base}/oauth2/token               password and refresh_token grants
//	GET  {base}/api/v1/users/current       who a token belongs to
//	POST {base}/api/v1/oauth-expiration    ends the token that it is sent with
//	GET  {base}/api/v1/secrets[/{id}...]   secrets of the token's account
//	GET  {base}/api/v1/version
//	GET  {base}/api/v1/healthcheck and {base}/healthcheck.aspx
//
// Behaviour follows Delinea's documentation, its SDKs and its live tests. Where
// those are silent, [Options] has a switch whose zero value is the likelier
// answer. The shapes of the token endpoint's answers are those of ASP.NET Katana,
// which Secret Server's answers resemble in every published detail.
//
// The package shares no code with the client that it serves to test, so that an
// error of understanding in one does not hide in the other.
//
// A Server counts what it sees ([Stats], [Entry]) and misbehaves on demand
// ([Fault]). It keeps no password or token in either: a token is named by its
// [Fingerprint].
package secretservertest
