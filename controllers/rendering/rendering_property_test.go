package rendering

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// checkBounds renders a template and asserts what holds of every one.
func checkBounds(t interface {
	Helper()
	Errorf(format string, args ...any)
}, text string) {
	t.Helper()
	begun := time.Now()
	values, err := Render(map[string]string{"key": text}, billing())
	// For a busy machine with the race detector. Without either, templates made to take long took some 50 ms.
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if err == nil {
		if len(values["key"]) > maxText {
			t.Errorf("%d bytes", len(values["key"]))
		}
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Key != "key" || e.Cause == "" || values != nil {
		t.Errorf("values %d, error %#v", len(values), err)
		return
	}
	if strings.Contains(err.Error(), "7f3a") {
		t.Errorf("the error tells the token: %v", err)
	}
	if lines := 1 + strings.Count(text, "\n"); e.Line < 0 || e.Line > lines || e.Column < 0 || e.Column > len(text)+1 {
		t.Errorf("line %d, column %d of %d lines and %d bytes", e.Line, e.Column, lines, len(text))
	}
}

// wrong is the depth of expressions that no template with them can be run.
const wrong = -1

// anExpression is one that is often well-formed, of functions and values that often fit.
func anExpression(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{
		".token", ".username", ".expiresAt", ".", "$", "$x", `"a"`, `"a\nb"`, `""`, "1", "-1", "1000", "131072", "9223372036854775807", "1.5", "true", "nil",
	})
	switch depth {
	case wrong:
		return rapid.SampledFrom([]string{".none", "$x.none", "$none", "env", "(call .)", ")", "|"})
	case 0:
		return leaf
	}
	call := rapid.Custom(func(t *rapid.T) string {
		words := []string{rapid.SampledFrom(Functions()).Draw(t, "function")}
		for range rapid.IntRange(0, 4).Draw(t, "arguments") {
			words = append(words, anExpression(depth-1).Draw(t, "argument"))
		}
		return "(" + strings.Join(words, " ") + ")"
	})
	return rapid.OneOf(leaf, call, call)
}

// aTemplate is one of such expressions, or of anything.
func aTemplate() *rapid.Generator[string] {
	action := rapid.Custom(func(t *rapid.T) string {
		depth := rapid.SampledFrom([]int{0, 1, 1, 1, 2, 2, 3, 1, 1, 1, 1, 2, 2, 2, 1, wrong}).Draw(t, "depth")
		e := anExpression(depth).Draw(t, "expression")
		return rapid.SampledFrom([]string{
			"{{ " + e + " }}",
			"{{ $x = " + e + " }}",
			strings.Repeat("{{ $x = print $x $x }}", 15), strings.Repeat("{{ $x = list $x $x }}", 15),
			"{{ if " + e + " }}a{{ else }}{{ " + e + " }}{{ end }}",
			"{{ with " + e + " }}{{ . }}{{ end }}",
			"{{ " + e + " | printf \"%10v\" }}",
			"\n" + e,
		}).Draw(t, "action")
	})
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 9).Draw(t, "anything") == 0 {
			return rapid.String().Draw(t, "text")
		}
		return "{{ $x := .token }}" + strings.Join(rapid.SliceOfN(action, 1, 20).Draw(t, "actions"), "")
	})
}

func TestWhateverTheTemplateRenderingIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkBounds(t, aTemplate().Draw(t, "template")) })
}

// The property above holds of something only if some of the templates render.
func TestTemplatesOfThePropertyRenderAndFail(t *testing.T) {
	causes := map[Cause]int{}
	for i := range 2000 {
		_, err := rendered(aTemplate().Example(i))
		e, ok := errors.AsType[*Error](err)
		if !ok {
			e = &Error{}
		}
		causes[e.Cause]++
	}
	for _, cause := range []Cause{"", Malformed, UnknownField, UnknownFunction, Mismatch, Unsuitable, TooLarge} {
		if causes[cause] < 5 {
			t.Errorf("%q was met %d times: %v", cause, causes[cause], causes)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"Authorization: {{ .tokenType }} {{ .token }}",
		"machine {{ (urlParse .serverURL).hostname }}\nlogin {{ .username }}\npassword {{ .token }}\n",
		`{{ dict "token" .token "until" (unixEpoch .expiresAt) "by" (list .domain .username) | toJson }}`,
		`{{ with .domain }}{{ . }}\{{ end }}{{ .username | upper | quote }}`,
		`{{ if and .domain (ne .domain "x") }}a{{ else if lt 1 2 }}b{{ else }}c{{ end }}`,
		doubled(100, ".token", "print $x $x", "{{ $x }}"),
		doubled(20, "list", "list $x $x", "{{ toJson $x }}"),
		`{{ printf "%999999999d%*d%[1]s %-10.3f|%q" 1 .token }}`,
		`{{ repeat 1000000 "x" | indent 1000 | replace "" "y" | b64enc }}`,
		`{{ join "," (splitList "" .token) | trunc 9 }}`,
		`{{ define "a" }}{{ template "a" }}{{ end }}{{ range 10 }}{{ end }}{{ block "b" . }}{{ end }}`,
		"{{ " + strings.Repeat("(", 200) + "1" + strings.Repeat(")", 200) + " }}",
		"{{- /* comment */ -}} {{ `raw` }} {{ 'c' }} {{ 0x1p-2 }} {{ 1i }} {{ nil }}",
		"{{ index . `token` | slice 1 | len }}{{ $.token }}{{ .token.x }}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if utf8.RuneCountInString(text) > 2*MaxTemplate {
			t.Skip("refused before anything else")
		}
		checkBounds(t, text)
	})
}
