package controllers

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/rendering"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// longestMessage is for people; names and URLs come on top of it.
const longestMessage = 480

var (
	// advice is what a person is told to do: a sentence or a half of one that begins so.
	advice = regexp.MustCompile(`(?:^|[.;,:] |and |or )(?:Ask|ask|Check|check|Choose|choose|Copy|Correct|Create|Delete|delete|Enable|enable|Name|name|Put|put|Rename|rename|` +
		`Set|set|See|see|If it stays so, see|It must hold)\b`)
	// sequel is what comes next by itself.
	sequel = regexp.MustCompile(`retried|goes on by itself|login follows|next renewal|next one|on its way|Work is in progress`)
	// verbs are those of the texts: names and what is wrong with them, no numbers that would change.
	verbs = regexp.MustCompile(`%[^sq%.0]`)
)

// written is a message as the code has it, with %s and %q for what is filled in.
type written struct{ reason, text, place string }

// writtenMessages are the literal texts of all faults in this package's sources.
func writtenMessages(t *testing.T) []written {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []written
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		files := gotoken.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || len(literal.Elts) != 2 {
				return true
			}
			if name, ok := literal.Type.(*ast.Ident); !ok || name.Name != "fault" {
				return true
			}
			reason, ok := literal.Elts[0].(*ast.SelectorExpr)
			if text := textOf(literal.Elts[1]); ok && text != "" {
				all = append(all, written{reason.Sel.Name, text, files.Position(n.Pos()).String()})
			}
			return true
		})
	}
	return all
}

// textOf puts the string literals and constants of an expression together. Of one that another message becomes part of there
// is none: that message is told of in its own place.
func textOf(e ast.Expr) string {
	var text strings.Builder
	whole := true
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if unquoted, err := strconv.Unquote(n.Value); err == nil && n.Kind == gotoken.STRING {
				text.WriteString(unquoted)
			}
		case *ast.SelectorExpr:
			whole = whole && n.Sel.Name != "message"
		case *ast.Ident:
			if n.Obj != nil && n.Obj.Kind == ast.Con {
				if constant, ok := n.Obj.Decl.(*ast.ValueSpec); ok {
					text.WriteString(textOf(constant.Values[0]))
				}
			}
		}
		return true
	})
	if !whole {
		return ""
	}
	return text.String()
}

// stalling are the names of the reasons for which a person must act.
func stalling(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "api", "v1alpha1", "vocabulary.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(source), "// Reasons of Stalled.")
	block, _, closed := strings.Cut(block, "\n)")
	if !found || !closed {
		t.Fatal("vocabulary.go has no reasons of Stalled: have they moved?")
	}
	return regexp.MustCompile(`Reason[A-Za-z]+`).FindAllString(block, -1)
}

// expectMessage holds a message to what every one must be.
func expectMessage(t *testing.T, place, text string) {
	t.Helper()
	if len(text) > longestMessage {
		t.Errorf("%s: %d bytes are too many for people: %s", place, len(text), text)
	}
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "%s") || text != strings.TrimSpace(text) || strings.Contains(text, "\n") {
		t.Errorf("%s: not one line of whole sentences: %q", place, text)
	}
	if verb := verbs.FindString(text); verb != "" {
		t.Errorf("%s: %s may be a number, which would change: %s", place, verb, text)
	}
}

func TestEachMessageSaysWhatComesNext(t *testing.T) {
	acting := stalling(t)
	messages := writtenMessages(t)
	told := map[string]bool{}
	for _, m := range messages {
		told[m.reason] = true
		expectMessage(t, m.place, m.text)
		switch {
		case slices.Contains(acting, m.reason):
			// What is filled in last may be the advice: that of an OTP seed is tested with it.
			if !advice.MatchString(m.text) && !strings.HasSuffix(m.text, "%s") {
				t.Errorf("%s: a person must act, and is not told how: %s", m.place, m.text)
			}
		case m.reason == "ReasonTokenCurrent": // there is nothing to do
		case !advice.MatchString(m.text) && !sequel.MatchString(m.text):
			t.Errorf("%s: it does not say what comes next: %s", m.place, m.text)
		}
	}
	for _, reason := range append(acting, "ReasonPending", "ReasonTokenExpired", "ReasonSuspended", "ReasonEndpointUnavailable", "ReasonEndpointThrottled") {
		// The text about a template is put together elsewhere, and held to this below.
		if !told[reason] && reason != "ReasonTemplateInvalid" {
			t.Errorf("no message for %s was found in the code: %v", reason, slices.Sorted(maps.Keys(told)))
		}
	}
	if len(messages) < 20 {
		t.Errorf("found %d messages", len(messages))
	}
}

// Whatever a grant meets, the message is for people, ends with what comes next, and is the same at each retry.
func TestEachFailureSaysWhatComesNext(t *testing.T) {
	seen := map[string]bool{}
	for kind := secretserver.NotSent; kind <= secretserver.Protocol; kind++ {
		for cause := secretserver.NameNotResolved; cause.String() != "unknown cause"; cause++ {
			for _, grant := range []session.GrantType{session.Password, session.RefreshToken} {
				for _, status := range []int{0, 503} {
					e := &secretserver.Error{Operation: secretserver.PasswordGrant, Kind: kind, Cause: cause, Status: status}
					text := failing(0).explain(grant, e)
					expectMessage(t, kind.String()+", "+cause.String(), text)
					if !sequel.MatchString(text) {
						t.Errorf("%s, %s: it does not say what comes next: %s", kind, cause, text)
					}
					if kind == secretserver.NotSent && !advice.MatchString(text) {
						t.Errorf("%s, %s: it does not say where to look: %s", kind, cause, text)
					}
					if again := failing(7).explain(grant, e); again != text {
						t.Errorf("%s, %s: another text at the next retry: %s", kind, cause, again)
					}
					seen[text] = true
				}
			}
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d texts", len(seen))
	}
}

func TestMessagesAboutSeedsAndTemplatesSayWhatToDo(t *testing.T) {
	for _, seed := range []string{"", "otpauth://totp/x?secret=AB", "no seed!", "ABCDEFGH"} {
		if _, problem := readSeed([]byte(seed)); !advice.MatchString(problem) || !strings.HasSuffix(problem, ".") {
			t.Errorf("%q: %s", seed, problem)
		}
	}
	p := failing(0)
	p.templateInvalid(&rendering.Error{Key: ".netrc", Line: 2, Column: 6, Cause: rendering.UnknownField})
	expectMessage(t, "template", p.templateFault.message)
	if !advice.MatchString(p.templateFault.message) {
		t.Error(p.templateFault.message)
	}
}

// A session that is ready tells what may end that.
func TestReadySessionsTellTheirOutlook(t *testing.T) {
	stalled, pending := &fault{api.ReasonCredentialsRejected, ""}, &fault{api.ReasonEndpointUnavailable, ""}
	for name, c := range map[string]struct {
		failures             int32
		plan                 session.Plan
		stalled, reconciling *fault
		want                 string
	}{
		"a healthy one":               {want: ""},
		"a suspended one":             {plan: session.Plan{Obstacle: session.Suspended}, want: "spec.suspend"},
		"one that a person must mend": {stalled: stalled, want: "see the condition Stalled"},
		"one whose renewal fails":     {failures: 2, reconciling: pending, want: "see the condition Reconciling"},
		"one that waits its turn":     {reconciling: pending, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := outlook(failing(c.failures), c.plan, c.stalled, c.reconciling)
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want something of %q", got, c.want)
			}
		})
	}
}
