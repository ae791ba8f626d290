// Package rendering turns templates that users write into the values of a Secret, whatever they write: in bounded time
// and memory, from nothing but the values given, and without an error that tells any of these.
//
// A running text/template cannot be stopped. So a template is refused before it runs if it could do more than its length
// allows: loops, and templates that call templates, are not available. What is left runs each of its calls once at most,
// and each call is bounded: in the size of its arguments, in the size of its result, which is known before it is made,
// and in what all calls of a rendering handle together.
package rendering

import (
	"bytes"
	"maps"
	"slices"
	"text/template"
	"text/template/parse"
	"time"
)

// The bounds of a rendering.
const (
	// MaxTemplate is the length of a template, in characters.
	MaxTemplate = 8192
	// MaxTotal is the size of all values of one rendering together, in bytes. A Secret holds 1 MiB.
	MaxTotal = 256 << 10
	// maxText is the size of one text, and of one list or dict with all that is in it, in bytes. The longest access
	// token, 64 KiB, fits in it also in Base64.
	maxText = 128 << 10
	// maxArguments is the size of the arguments of one call, in bytes.
	maxArguments = 2 * maxText
	// maxWork is the size of the arguments and results of all calls of one rendering, in bytes. Each call counts as
	// callWork at least.
	maxWork  = 8 << 20
	callWork = 128
	// maxDepth is how deep actions and parentheses may be nested.
	maxDepth = 100
)

// Values are what templates see. There is no field for a password or a refresh token, and there must never be one.
type Values struct {
	Token               string
	IssuedAt, ExpiresAt time.Time
	ServerURL           string
	Username, Domain    string
	Session, Namespace  string
}

// tokenType is the only type of token that the client of Secret Server accepts, in the spelling of RFC 6750.
const tokenType = "Bearer"

// fields are the values by the names that they have in templates. They are texts and nothing else: a value with methods
// could be made to do what no function here does.
func (v Values) fields() map[string]any {
	return map[string]any{
		"token":     v.Token,
		"tokenType": tokenType,
		"issuedAt":  v.IssuedAt.UTC().Format(time.RFC3339),
		"expiresAt": v.ExpiresAt.UTC().Format(time.RFC3339),
		"serverURL": v.ServerURL,
		"username":  v.Username,
		"domain":    v.Domain,
		"session":   v.Session,
		"namespace": v.Namespace,
	}
}

// Fields are the names of the values that templates see, sorted.
func Fields() []string { return slices.Sorted(maps.Keys(Values{}.fields())) }

// Render renders each template under its key. An error is an *Error, about the first key that has one; then there are no
// values at all. A value may be empty, but is never nil.
func Render(templates map[string]string, v Values) (map[string][]byte, error) {
	r := newRendering(v)
	values := make(map[string][]byte, len(templates))
	for _, key := range slices.Sorted(maps.Keys(templates)) {
		value, err := r.render(templates[key])
		if err != nil {
			err.Key = key
			return nil, err
		}
		values[key] = value
	}
	return values, nil
}

// Check tells of templates what can be told without the token and the user name: it renders them with other texts in
// their place. What a function thinks of those is no error yet.
func Check(templates map[string]string, v Values) error {
	v.Token, v.Username = "the-token-that-is-not-had-yet", "the-user-name-that-is-not-read-yet"
	r := newRendering(v)
	for _, key := range slices.Sorted(maps.Keys(templates)) {
		if _, err := r.render(templates[key]); err != nil && err.Cause != Unsuitable {
			err.Key = key
			return err
		}
	}
	return nil
}

// rendering is what the templates of one Secret share.
type rendering struct {
	fields    map[string]any
	functions template.FuncMap // metered
	room      int              // what is left of MaxTotal
}

func newRendering(v Values) *rendering {
	m := &meter{left: maxWork}
	return &rendering{fields: v.fields(), functions: m.functions(), room: MaxTotal}
}

func (r *rendering) render(text string) (value []byte, err *Error) {
	defer func() {
		// text/template passes on panics that it does not expect. None is known, and none may stop the operator.
		if recover() != nil {
			value, err = nil, &Error{Cause: Mismatch}
		}
	}()
	tree, err := parseTemplate(text, r.fields, r.functions)
	if err != nil {
		return nil, err
	}
	return r.execute(tree)
}

func (r *rendering) execute(tree *parse.Tree) ([]byte, *Error) {
	t, err := template.New(tree.Name).Option("missingkey=error").Funcs(r.functions).AddParseTree(tree.Name, tree)
	if err != nil {
		return nil, &Error{Cause: Malformed}
	}
	out := bounded{room: min(maxText, r.room)}
	if err := t.Execute(&out, r.fields); err != nil {
		return nil, executionError(err)
	}
	r.room -= out.Len()
	return append([]byte{}, out.Bytes()...), nil // never nil, which in JSON is no value
}

// bounded is a buffer that takes no more than it has room for.
type bounded struct {
	bytes.Buffer

	room int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.room {
		return 0, because(TooLarge)
	}
	return b.Buffer.Write(p)
}
