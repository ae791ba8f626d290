package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

const faults = "what-can-go-wrong.md"

// letters are those that the page of faults has for conditions.
var letters = map[string]string{"R": api.ConditionReconciling, "S": api.ConditionStalled, "F": api.ConditionRefreshable}

var (
	reasonTold = regexp.MustCompile("\\b([RSF])(?: is)? `([A-Za-z]+)`")
	eventTold  = regexp.MustCompile("\\bevents? `([A-Za-z]+)`")
	metricTold = regexp.MustCompile(`\bsecretserversession_[a-z_]+`)
	flagTold   = regexp.MustCompile(`--[a-z]+(?:-[a-z]+)*`)
	// camelCase are words of the code: with a capital inside, or in backquotes with one at the beginning.
	camelCase = regexp.MustCompile("\\b[A-Z]+[a-z]{2,}[A-Z][A-Za-z]*\\b|`[A-Z][a-z]+`")
)

func TestFaultsAreToldInTheWordsOfTheCode(t *testing.T) {
	page := read(t, faults)
	reasons, events, metrics := reasonsByCondition(t), eventsOfCode(t), metricsOfCode(t)
	for _, told := range reasonTold.FindAllStringSubmatch(page, -1) {
		if condition := letters[told[1]]; !slices.Contains(reasons[condition], told[2]) {
			t.Errorf("%s: %q is no reason of %s", faults, told[2], condition)
		}
	}
	for _, told := range eventTold.FindAllStringSubmatch(page, -1) {
		if !slices.Contains(events, told[1]) {
			t.Errorf("%s: %q is no event", faults, told[1])
		}
	}
	for _, told := range metricTold.FindAllString(page, -1) {
		if !slices.Contains(metrics, told) {
			t.Errorf("%s: there is no metric %q", faults, told)
		}
	}
	known := flags(t, "../main.go")
	for _, told := range flagTold.FindAllString(page, -1) {
		if !slices.Contains(known, told) {
			t.Errorf("%s: there is no flag %q", faults, told)
		}
	}
	words := vocabulary(t)
	for _, told := range camelCase.FindAllString(page, -1) {
		if word := strings.Trim(told, "`"); !slices.Contains(words, word) {
			t.Errorf("%s: the code has no %q that a user sees", faults, word)
		}
	}
}

func TestEveryReasonEventAndMetricHasItsFault(t *testing.T) {
	page := read(t, faults)
	told := func(pattern *regexp.Regexp, group int) []string {
		var words []string
		for _, match := range pattern.FindAllStringSubmatch(page, -1) {
			words = append(words, match[group])
		}
		return words
	}
	reasons := reasonsByCondition(t)
	for kind, c := range map[string]struct{ want, got []string }{
		"event":                {eventsOfCode(t), told(eventTold, 1)},
		"metric":               {metricsOfCode(t), told(metricTold, 0)},
		"reason of Ready":      {reasons[api.ConditionReady], told(regexp.MustCompile("`([A-Za-z]+)`"), 1)},
		"reason of R, S and F": {slices.Concat(reasons[letters["R"]], reasons[letters["S"]], reasons[letters["F"]]), told(reasonTold, 2)},
	} {
		if len(c.want) == 0 {
			t.Errorf("no %s was found in the code: has it moved?", kind)
		}
		for _, word := range c.want {
			if !slices.Contains(c.got, word) {
				t.Errorf("%s does not tell of the %s %q", faults, kind, word)
			}
		}
	}
}

const vocabularyPath = "../api/v1alpha1/vocabulary.go"

func eventsOfCode(t *testing.T) []string {
	t.Helper()
	return constants(t, vocabularyPath, "Event")
}

func metricsOfCode(t *testing.T) []string {
	t.Helper()
	return constants(t, "../controllers/metrics.go", "Metric")
}

// reasonsByCondition maps each condition to its reasons. They stand in blocks whose comments begin "Reasons of <condition>".
func reasonsByCondition(t *testing.T) map[string][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), vocabularyPath, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string][]string{}
	for _, condition := range append(slices.Collect(maps.Values(letters)), api.ConditionReady) {
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok || !strings.HasPrefix(general.Doc.Text(), "Reasons of "+condition) {
				continue
			}
			for _, value := range declared(&ast.File{Decls: []ast.Decl{general}}) {
				reasons[condition] = append(reasons[condition], text(t, value))
			}
		}
	}
	if all := constants(t, vocabularyPath, "Reason"); len(slices.Concat(slices.Collect(maps.Values(reasons))...)) != len(all) {
		t.Fatalf("not every reason of %s belongs to a condition by its comment: %v", vocabularyPath, reasons)
	}
	return reasons
}

// vocabulary is all that the code tells its users in camel case.
func vocabulary(t *testing.T) []string {
	t.Helper()
	words := slices.Concat(
		constants(t, vocabularyPath, "Reason"), constants(t, vocabularyPath, "Event"), constants(t, vocabularyPath, "Condition"),
		constants(t, "../controllers/metrics.go", "result"),
		[]string{string(session.Password), string(session.RefreshToken), string(api.DeletionRevoke), string(api.DeletionRetain)},
	)
	for kind := secretserver.NotSent; kind <= secretserver.InvalidCA; kind++ {
		words = append(words, kind.String())
	}
	return words
}
