package secretservertest

import (
	"bytes"
	"encoding/json"
	"html"
	"maps"
	"net/http"
	"strconv"
)

// Result says what became of a request.
type Result string

// Results of grants. Of other requests only Granted and Unprocessed occur, and
// the ones about tokens.
const (
	Granted           Result = "granted"
	UnknownUser       Result = "unknown-user"
	WrongPassword     Result = "wrong-password"
	WrongOTP          Result = "wrong-otp"
	AccountLocked     Result = "account-locked"
	DirectLoginDenied Result = "direct-login-denied"
	TokenUnknown      Result = "token-unknown"
	TokenSpent        Result = "token-spent"
	TokenExpired      Result = "token-expired"
	TokenRevoked      Result = "token-revoked"
	LimitReached      Result = "limit-reached"
	RefreshOff        Result = "refresh-off"
	Unsupported       Result = "unsupported" // grant type, path or method
	AccessDenied      Result = "access-denied"
	Malformed         Result = "malformed"
	Unprocessed       Result = "unprocessed" // a fault kept the request from taking effect
)

// reply is an answer before it is written, and what the books say about it.
type reply struct {
	status int
	header http.Header
	body   []byte
	grant  *grant // of a successful grant: body once more, in parts

	result  Result
	account string // whose credentials or token it was; "" unknown
	issued  string // fingerprint of the access token granted
}

// grant is the body of a successful grant. Each field is raw JSON, "" for none.
type grant struct {
	accessToken, tokenType, expiresIn, refreshToken string
}

// json keeps Katana's order of keys.
func (g *grant) json() []byte {
	var b bytes.Buffer
	sep := byte('{')
	for _, field := range [...]struct{ name, raw string }{
		{"access_token", g.accessToken},
		{"token_type", g.tokenType},
		{"expires_in", g.expiresIn},
		{"refresh_token", g.refreshToken},
	} {
		if field.raw == "" {
			continue
		}
		b.WriteByte(sep)
		b.WriteString(quote(field.name) + ":" + field.raw)
		sep = ','
	}
	if sep == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes()
}

// quote renders a string as JSON.
func quote(s string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// grantReply is a success of the token endpoint.
func grantReply(g grant) reply {
	return reply{status: http.StatusOK, header: katanaHeader(), body: g.json(), grant: &g, result: Granted}
}

// refusal is a failure of the token endpoint: always 400, as Katana does it.
func refusal(result Result, key, text string) reply {
	body := []byte("{" + quote(key) + ":" + quote(text) + "}")
	return reply{status: http.StatusBadRequest, header: katanaHeader(), body: body, result: result}
}

// katanaHeader is what Katana's token endpoint sends with every answer.
func katanaHeader() http.Header {
	return http.Header{
		"Content-Type":  {"application/json;charset=UTF-8"},
		"Cache-Control": {"no-cache"},
		"Pragma":        {"no-cache"},
		"Expires":       {"-1"},
	}
}

// jsonReply is an answer of the REST API.
func jsonReply(status int, result Result, value any) reply {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // every value here is plain data
	}
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	return reply{status: status, header: header, body: body, result: result}
}

// htmlReply is what the web site says, as opposed to the API.
func htmlReply(status int, result Result) reply {
	title := html.EscapeString(strconv.Itoa(status) + " - " + http.StatusText(status))
	body := "<!DOCTYPE html>\r\n<html><head><title>" + title + "</title></head><body><h2>" + title + "</h2></body></html>\r\n"
	header := http.Header{"Content-Type": {"text/html"}}
	return reply{status: status, header: header, body: []byte(body), result: result}
}

func (p *reply) write(w http.ResponseWriter) {
	p.writeHeader(w, len(p.body))
	_, _ = w.Write(p.body) // a client that left needs no answer
}

// writeHeader announces a body of a given length; a negative one is not announced.
func (p *reply) writeHeader(w http.ResponseWriter, length int) {
	maps.Copy(w.Header(), p.header)
	if length >= 0 {
		w.Header().Set("Content-Length", strconv.Itoa(length))
	}
	w.WriteHeader(p.status)
}
