package secretserver

import (
	"strings"
	"testing"
	"time"
)

// decodings are bodies with what becomes of them. They are also the seeds of the fuzz test.
func decodings() []struct {
	name  string
	body  string
	want  Grant
	cause Cause
} {
	token := func(seconds int) Grant {
		return Grant{AccessToken: "AgAccess", ExpiresIn: time.Duration(seconds) * time.Second}
	}
	expiring := func(value string) string { return `{"access_token":"AgAccess","expires_in":` + value + `}` }
	refreshing := func(value string) string { return `{"access_token":"AgAccess","refresh_token":` + value + `}` }
	typed := func(value string) string { return `{"access_token":"AgAccess","token_type":` + value + `}` }
	access := func(value string) string { return `{"access_token":` + value + `}` }
	long := strings.Repeat("x", maxToken)
	return []struct {
		name  string
		body  string
		want  Grant
		cause Cause
	}{
		{"everything", goodAnswer, goodGrant(), 0},
		{"nothing but a token", access(`"AgAccess"`), token(0), 0},
		{"unknown fields", `{"x":[{}],"access_token":"AgAccess","scope":null}`, token(0), 0},
		{"escapes", access(`"\u0041g\/+=-_.~"`), Grant{AccessToken: "Ag/+=-_.~"}, 0},
		{"space around", "\r\n " + access(`"AgAccess"`) + "\n", token(0), 0},
		{"byte order mark", "\xef\xbb\xbf" + access(`"AgAccess"`), token(0), 0},
		{"names are exact", `{"Access_Token":"AgWrong!","access_token":"AgAccess"}`, token(0), 0},
		{"the last of two counts", `{"access_token":"AgWrong!","access_token":"AgAccess"}`, token(0), 0},

		{"expiry: number", expiring("1199"), token(1199), 0},
		{"expiry: string", expiring(`"1199"`), token(1199), 0},
		{"expiry: string with spaces", expiring(`" 1199 "`), token(1199), 0},
		{"expiry: fraction", expiring("1199.0"), token(1199), 0},
		{"expiry: fraction is dropped", expiring("1199.99"), token(1199), 0},
		{"expiry: fraction in a string", expiring(`"1199.5"`), token(1199), 0},
		{"expiry: exponent", expiring("1.2e3"), token(1200), 0},
		{"expiry: one second", expiring("1"), token(1), 0},
		{"expiry: 365 days", expiring("31536000"), token(31536000), 0},
		{"expiry: more than 365 days", expiring("31536001"), token(0), 0},
		{"expiry: less than a second", expiring("0.9"), token(0), 0},
		{"expiry: null", expiring("null"), token(0), 0},
		{"expiry: zero", expiring("0"), token(0), 0},
		{"expiry: negative", expiring("-1"), token(0), 0},
		{"expiry: more than a Duration holds", expiring("1e18"), token(0), 0},
		{"expiry: more than an int64 holds", expiring("18446744073709551616"), token(0), 0},
		{"expiry: more than a float64 holds", expiring("1e999"), token(0), 0},
		{"expiry: NaN", expiring(`"NaN"`), token(0), 0},
		{"expiry: infinite", expiring(`"Inf"`), token(0), 0},
		{"expiry: empty", expiring(`""`), token(0), 0},
		{"expiry: word", expiring(`"never"`), token(0), 0},
		{"expiry: true", expiring("true"), token(0), 0},
		{"expiry: object", expiring(`{"seconds":1199}`), token(0), 0},

		{"refresh token: null", refreshing("null"), token(0), 0},
		{"refresh token: empty", refreshing(`""`), token(0), 0},
		{"refresh token: space", refreshing(`"a b"`), token(0), 0},
		{"refresh token: newline", refreshing(`"ab\n"`), token(0), 0},
		{"refresh token: control character", refreshing(`"a\u0000b"`), token(0), 0},
		{"refresh token: not ASCII", refreshing(`"ü"`), token(0), 0},
		{"refresh token: number", refreshing("7"), token(0), 0},
		{"refresh token: too long", refreshing(`"` + long + `x"`), token(0), 0},
		{"refresh token: as long as can be", refreshing(`"` + long + `"`), Grant{AccessToken: "AgAccess", RefreshToken: long}, 0},
		{"refresh token: one character", refreshing(`"r"`), Grant{AccessToken: "AgAccess", RefreshToken: "r"}, 0},

		{"type: bearer", typed(`"bearer"`), Grant{AccessToken: "AgAccess", TokenType: "bearer"}, 0},
		{"type: any case", typed(`"BeareR"`), Grant{AccessToken: "AgAccess", TokenType: "BeareR"}, 0},
		{"type: empty", typed(`""`), token(0), 0},
		{"type: null", typed("null"), token(0), 0},
		{"type: another", typed(`"mac"`), Grant{}, WrongTokenType},
		{"type: number", typed("1"), Grant{}, WrongTokenType},

		{"token: absent", `{}`, Grant{}, NoAccessToken},
		{"token: null", access("null"), Grant{}, NoAccessToken},
		{"token: empty", access(`""`), Grant{}, NoAccessToken},
		{"token: only under another name", `{"ACCESS_TOKEN":"AgAccess"}`, Grant{}, NoAccessToken},
		{"token: error instead", `{"error":"Login failed."}`, Grant{}, NoAccessToken},
		{"token: number", access("12345"), Grant{}, MalformedAccessToken},
		{"token: object", access(`{"value":"AgAccess"}`), Grant{}, MalformedAccessToken},
		{"token: newline at the end", access(`"AgAccess\n"`), Grant{}, MalformedAccessToken},
		{"token: tab", access(`"Ag\tAccess"`), Grant{}, MalformedAccessToken},
		{"token: space", access(`"Ag Access"`), Grant{}, MalformedAccessToken},
		{"token: delete character", access(`"AgAccess\u007f"`), Grant{}, MalformedAccessToken},
		{"token: not ASCII", access(`"AgÄccess"`), Grant{}, MalformedAccessToken},
		{"token: not UTF-8", access("\"Ag\xff\xfeAccess\""), Grant{}, MalformedAccessToken},
		{"token: too short", access(`"Agx"`), Grant{}, MalformedAccessToken},
		{"token: as short as can be", access(`"Agxy"`), Grant{AccessToken: "Agxy"}, 0},
		{"token: as long as can be", access(`"` + long + `"`), Grant{AccessToken: long}, 0},
		{"token: too long", access(`"` + long + `x"`), Grant{}, MalformedAccessToken},

		{"empty", "", Grant{}, EmptyAnswer},
		{"spaces", " \r\n", Grant{}, EmptyAnswer},
		{"a byte order mark alone", "\xef\xbb\xbf", Grant{}, EmptyAnswer},
		{"truncated in a name", `{"access_tok`, Grant{}, TruncatedJSON},
		{"truncated in a token", `{"access_token":"AgAcc`, Grant{}, TruncatedJSON},
		{"truncated before the end", `{"access_token":"AgAccess"`, Grant{}, TruncatedJSON},
		{"HTML", "<!DOCTYPE html><html></html>", Grant{}, HTMLAnswer},
		{"HTML after a byte order mark", "\xef\xbb\xbf\r\n<html>", Grant{}, HTMLAnswer},
		{"text", "Healthy", Grant{}, NotJSON},
		{"array", `["AgAccess"]`, Grant{}, NotJSON},
		{"string", `"AgAccess"`, Grant{}, NotJSON},
		{"null", `null`, Grant{}, NotJSON},
		{"two objects", access(`"AgAccess"`) + access(`"AgAccess"`), Grant{}, NotJSON},
		{"something after the object", access(`"AgAccess"`) + "x", Grant{}, NotJSON},
		{"single quotes", `{'access_token':'AgAccess'}`, Grant{}, NotJSON},
		{"UTF-16", "{\x00\"\x00}\x00", Grant{}, NotJSON},
		{"nesting bomb", strings.Repeat("[", maxAnswer), Grant{}, NotJSON},
		{"nesting bomb in a field", `{"x":` + strings.Repeat(`{"x":`, maxAnswer/6), Grant{}, NotJSON},
	}
}

func TestDecodeGrant(t *testing.T) {
	for _, test := range decodings() {
		t.Run(test.name, func(t *testing.T) {
			got, cause := decodeGrant([]byte(test.body))
			if cause != test.cause {
				t.Fatalf("cause is %q, want %q", cause, test.cause)
			}
			if got != test.want {
				t.Errorf("expires in %v, type %q, refresh token of %d bytes; want %v, %q, %d; or the access token differs",
					got.ExpiresIn, got.TokenType, len(got.RefreshToken), test.want.ExpiresIn, test.want.TokenType, len(test.want.RefreshToken))
			}
		})
	}
}

func FuzzDecodeGrant(f *testing.F) {
	for _, test := range decodings() {
		f.Add([]byte(test.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		grant, cause := decodeGrant(body)
		if cause != 0 {
			if grant != (Grant{}) {
				t.Errorf("a grant comes with the cause %q", cause)
			}
			if cause.String() == Cause(0).String() {
				t.Errorf("cause %d has no phrase", cause)
			}
			return
		}
		if len(grant.AccessToken) < minAccessToken || !sendable(grant.AccessToken) {
			t.Error("the access token cannot be sent")
		}
		if !sendable(grant.RefreshToken) {
			t.Error("the refresh token cannot be sent")
		}
		if !strings.EqualFold(grant.TokenType, "bearer") && grant.TokenType != "" {
			t.Errorf("the token type is %q", grant.TokenType)
		}
		if grant.ExpiresIn < 0 || grant.ExpiresIn > maxLifetime || grant.ExpiresIn%time.Second != 0 {
			t.Errorf("the lifetime is %v", grant.ExpiresIn)
		}
	})
}
