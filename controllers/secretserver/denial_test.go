package secretserver

import (
	"encoding/json"
	"strings"
	"testing"
)

// denials are bodies of a 403 with what becomes of them. They are also the seeds of the fuzz test.
func denials() []struct {
	name  string
	body  string
	dead  bool
	cause Cause
} {
	saying := func(message string) string { return `{"message":` + message + `}` }
	return []struct {
		name  string
		body  string
		dead  bool
		cause Cause
	}{
		{"dead", deadAnswer, true, 0},
		{"dead, without the full stop", saying(`"Authentication failed or expired token"`), true, 0},
		{"dead, space around the message", saying(`"\t Authentication failed or expired token. \r\n"`), true, 0},
		{"dead, space around the object", "\r\n " + deadAnswer + "\n", true, 0},
		{"dead, after a byte order mark", "\xef\xbb\xbf" + deadAnswer, true, 0},
		{"dead, among other fields", `{"errorCode":"x","message":"Authentication failed or expired token.","modelState":{}}`, true, 0},
		{"dead, in escapes", saying(`"\u0041uthentication failed or expired token\u002e"`), true, 0},
		{"dead, the last of two messages counts", `{"message":"no","message":"Authentication failed or expired token."}`, true, 0},

		{"rights", deniedAnswer, false, 0},
		{"rights, the last of two messages counts", `{"message":"Authentication failed or expired token.","message":"no"}`, false, 0},
		{"the text in another case", saying(`"authentication failed or expired token."`), false, 0},
		{"the text and more", saying(`"Authentication failed or expired token. Try again."`), false, 0},
		{"the text with two full stops", saying(`"Authentication failed or expired token.."`), false, 0},
		{"part of the text", saying(`"Authentication failed"`), false, 0},

		{"no message", `{}`, false, NoMessage},
		{"the text elsewhere", `{"error":"Authentication failed or expired token."}`, false, NoMessage},
		{"names are exact", `{"Message":"Authentication failed or expired token."}`, false, NoMessage},
		{"message within something", `{"error":{"message":"Authentication failed or expired token."}}`, false, NoMessage},
		{"message is null", saying("null"), false, NoMessage},
		{"message is empty", saying(`""`), false, NoMessage},
		{"message of spaces", saying(`" \n"`), false, NoMessage},
		{"message is a number", saying("7"), false, NoMessage},
		{"message is a list", saying(`["Authentication failed or expired token."]`), false, NoMessage},

		{"empty", "", false, EmptyAnswer},
		{"HTML", "<html>Authentication failed or expired token.", false, HTMLAnswer},
		{"text", "Authentication failed or expired token.", false, NotJSON},
		{"null", "null", false, NotJSON},
		{"string", `"Authentication failed or expired token."`, false, NotJSON},
		{"array", "[" + deadAnswer + "]", false, NotJSON},
		{"two objects", deadAnswer + deadAnswer, false, NotJSON},
		{"truncated", deadAnswer[:len(deadAnswer)-1], false, TruncatedJSON},
		{"nesting bomb", `{"message":` + strings.Repeat("[", maxTokenAnswer), false, NotJSON},
	}
}

func TestDecodeDenial(t *testing.T) {
	for _, test := range denials() {
		t.Run(test.name, func(t *testing.T) {
			dead, cause := decodeDenial([]byte(test.body))
			if dead != test.dead || cause != test.cause {
				t.Errorf("dead: %t, cause %q; want %t, %q", dead, cause, test.dead, test.cause)
			}
		})
	}
}

func FuzzDecodeDenial(f *testing.F) {
	for _, test := range denials() {
		f.Add([]byte(test.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		dead, cause := decodeDenial(body)
		if cause != 0 {
			if dead {
				t.Errorf("the token is dead, and the cause is %q", cause)
			}
			if cause.String() == Cause(0).String() {
				t.Errorf("cause %d has no phrase", cause)
			}
			return
		}
		// Read once more, in another way.
		var object map[string]any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(string(body), "\xef\xbb\xbf")), &object); err != nil {
			t.Fatalf("no cause for what is no object: %v", err)
		}
		message, ok := object["message"].(string)
		if !ok {
			t.Fatal("no cause for an object without a message")
		}
		trimmed := strings.TrimSpace(message)
		if want := trimmed == deadMessage || trimmed == deadMessage+"."; dead != want {
			t.Errorf("dead: %t, want %t", dead, want)
		}
	})
}
