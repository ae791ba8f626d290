package secretserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Markers of what must never be printed.
const (
	markedUser     = "MARKER-user"
	markedPassword = "MARKER-password"
	markedDomain   = "MARKER-domain"
	markedOTP      = "MARKER-otp"
	markedSeed     = "MARKER-seed"
	markedToken    = "MARKER-token"
	markedRefresh  = "MARKER-refresh"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	credentials := Credentials{Username: markedUser, Password: markedPassword, Domain: markedDomain, OTP: markedOTP, OTPSeed: markedSeed}
	grant := Grant{AccessToken: markedToken, RefreshToken: markedRefresh, TokenType: "bearer"}
	for _, test := range []struct {
		name  string
		value any
	}{
		{"credentials", credentials},
		{"pointer to credentials", &credentials},
		{"credentials in a struct", struct{ Login Credentials }{credentials}},
		{"credentials in a map", map[string]Credentials{"login": credentials}},
		{"grant", grant},
		{"pointer to a grant", &grant},
		{"grant in a struct", struct{ Answer *Grant }{&grant}},
		{"grant in a slice", []Grant{grant}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for how, printed := range printings(t, test.value) {
				if strings.Contains(printed, "MARKER") || strings.Contains(printed, fmt.Sprintf("%x", "MARKER")) {
					t.Errorf("%s shows a secret", how)
				}
			}
		})
	}
	if got := credentials.String() + grant.String() + credentials.GoString() + grant.GoString(); got != strings.Repeat(redacted, 4) {
		t.Errorf("String and GoString give %s", got)
	}
	if got := credentials.LogValue().String() + grant.LogValue().String(); got != strings.Repeat(redacted, 2) {
		t.Errorf("LogValue gives %s", got)
	}
}

// printings are all the ways in which a value gets into a log.
func printings(t *testing.T, value any) map[string]string {
	t.Helper()
	printed := map[string]string{"Sprint": fmt.Sprint(value), "Sprintln": fmt.Sprintln(value)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3v", "%T", "%!"} {
		printed[verb] = fmt.Sprintf(verb, value)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	printed["json"] = string(text)
	var lines bytes.Buffer
	slog.New(slog.NewTextHandler(&lines, nil)).Info("text", "value", value)
	slog.New(slog.NewJSONHandler(&lines, nil)).Info("json", "value", value)
	printed["slog"] = lines.String()
	printed["error"] = fmt.Errorf("wrapped: %v", value).Error()
	return printed
}

func TestErrorsHoldNothingOfWhatTheServerSaid(t *testing.T) {
	reflecting := func(status int, prefix string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(err)
			}
			w.Header().Set("Location", "/login?"+string(body))
			w.Header().Set("Retry-After", string(body))
			w.Header().Set("Content-Type", string(body))
			w.WriteHeader(status)
			send(w, prefix+string(body)+r.Header.Get("OTP"))
		}
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"redirect", reflecting(307, "")},
		{"refusal", reflecting(400, "")},
		{"throttling", reflecting(429, "")},
		{"breakdown", reflecting(500, "")},
		{"HTML", reflecting(200, "<html>")},
		{"text", reflecting(200, "sorry, ")},
		{"truncated JSON", reflecting(200, `{"access_token":"`)},
		{"token with a space", answering(200, `{"access_token":"`+markedPassword+` "}`)},
		{"token of another type", answering(200, `{"access_token":"`+markedToken+`","token_type":"`+markedPassword+`"}`)},
		{"cut off", cutOff(200, markedToken)},
		{"no HTTP", hijacking(markedPassword + "\r\n\r\n")},
		{"status line with a secret", hijacking("HTTP/1.1 400 " + markedPassword + "\r\nContent-Length: 0\r\n\r\n")},
		{"chunk with a secret", hijacking("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + markedPassword + "\r\n")},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := newClient(t, newServer(t, test.handler))
			_, login := client.Authenticate(t.Context(), Credentials{markedUser, markedPassword, markedDomain, markedOTP, markedSeed})
			_, refresh := client.Refresh(t.Context(), markedRefresh)
			wantSilent(t, login)
			wantSilent(t, refresh)
		})
	}
}

// wantSilent fails the test unless err is an error that shows neither a marker nor the server's address.
func wantSilent(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for ; err != nil; err = errors.Unwrap(err) {
		for how, printed := range printings(t, err) {
			if strings.Contains(printed, "MARKER") || strings.Contains(printed, "127.0.0.1") {
				t.Errorf("%s shows what it must not: %s", how, printed)
			}
		}
	}
}

func TestErrorsAboutATokenHoldNothingOfIt(t *testing.T) {
	reflecting := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			bearer := r.Header.Get("Authorization")
			w.Header().Set("Location", "/login?"+bearer)
			w.Header().Set("Retry-After", bearer)
			w.Header().Set("Content-Type", bearer)
			w.WriteHeader(status)
			send(w, strings.ReplaceAll(body, "TOKEN", bearer))
		}
	}
	both := []Operation{VerifyToken, RevokeToken}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		fails   []Operation
	}{
		{"redirect", reflecting(307, "TOKEN"), both},
		{"bad request", reflecting(400, "TOKEN"), both},
		{"unknown token", reflecting(401, "TOKEN"), both[:1]},
		{"dead token", reflecting(403, `{"message":"Authentication failed or expired token.","token":"TOKEN"}`), both[:1]},
		{"denial", reflecting(403, `{"message":"TOKEN"}`), both[1:]},
		{"denial without a message", reflecting(403, `{"TOKEN":"TOKEN"}`), both},
		{"denial as HTML", reflecting(403, "<html>TOKEN"), both},
		{"no such page", reflecting(404, "TOKEN"), both},
		{"throttling", reflecting(429, "TOKEN"), both},
		{"breakdown", reflecting(500, "TOKEN"), both},
		{"HTML", reflecting(200, "<html>TOKEN"), both[:1]},
		{"truncated JSON", reflecting(200, `{"TOKEN":"TOKEN`), both[:1]},
		{"cut off", cutOff(403, markedToken), both},
		{"no HTTP", hijacking(markedToken + "\r\n\r\n"), both},
		{"status line with a secret", hijacking("HTTP/1.1 400 " + markedToken + "\r\nContent-Length: 0\r\n\r\n"), both},
		{"chunk with a secret", hijacking("HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n" + markedToken + "\r\n"), both},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, token := range tokenCalls(newClient(t, newServer(t, test.handler)), markedToken) {
				err := token.run(t.Context())
				if slices.Contains(test.fails, token.operation) {
					wantSilent(t, err)
				} else {
					wantOutcome(t, err, Error{})
				}
			}
		})
	}
}

// An OTP that no header can carry comes from a broken seed. It must not be sent, nor shown.
func TestAnUnsendableOTPIsNotSent(t *testing.T) {
	v := newVault(t, func(*visit) {})
	_, err := v.client(t).Authenticate(t.Context(), Credentials{Username: "svc", Password: "p", OTP: markedOTP + "\n"})
	wantError(t, err, Error{Operation: PasswordGrant, Kind: NotSent, Cause: NotConnected})
	if dials, _ := v.seen(); dials != 0 {
		t.Error("a connection was opened")
	}
}

// hijacking answers with raw bytes and closes the connection.
func hijacking(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(err)
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer hangUp(conn)
		send(conn, raw)
	}
}
