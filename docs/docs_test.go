// Package docs_test checks what the documents say against the code.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/rendering"
)

// documents are the README and all of docs/, by path from here.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range append(paths, "../README.md") {
		texts[path] = read(t, path)
	}
	return texts
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The templates of the documents and of the samples are such as the operator renders.
func TestTemplatesOfTheExamplesRender(t *testing.T) {
	texts := []string{read(t, "../config/samples/session.yaml")}
	for _, text := range documents(t) {
		texts = append(texts, yamlDocuments(text)...)
	}
	rendered := 0
	for _, text := range texts {
		var s api.SecretServerSession
		if err := yaml.Unmarshal([]byte(text), &s); err != nil || s.Kind != api.Kind {
			continue // TestExamplesFitTheTypes has something to say of it
		}
		for key, template := range s.Spec.Target.Data {
			values, err := rendering.Render(map[string]string{key: string(template)}, rendering.Values{Token: "t", ServerURL: s.Spec.Endpoint.URL})
			if err != nil || len(values[key]) == 0 {
				t.Errorf("%s: %q, %v", s.Name, values[key], err)
			}
			rendered++
		}
	}
	if rendered < 3 {
		t.Errorf("found %d templates", rendered)
	}
}

// Each of these tables names all that the code has, and nothing else, in its column of that name.
func TestTablesNameWhatTheCodeHas(t *testing.T) {
	const troubleshooting, vocabulary = "troubleshooting.md", "../api/v1alpha1/vocabulary.go"
	const status, configuration, templates, observability = "status.md", "configuration.md", "templates.md", "observability.md"
	for name, c := range map[string]struct {
		path, column string
		want         []string
	}{
		"flags":                        {configuration, "Flag", flags(t, "../main.go")},
		"status fields":                {status, "Field", statusFields()},
		"reasons":                      {status, "Reason", constants(t, vocabulary, "Reason")},
		"events":                       {status, "Event", constants(t, vocabulary, "Event")},
		"metrics":                      {observability, "Metric", constants(t, "../controllers/metrics.go", "Metric")},
		"reasons, for troubleshooting": {troubleshooting, "Reason", constants(t, vocabulary, "Reason")},
		"events, for troubleshooting":  {troubleshooting, "Event", constants(t, vocabulary, "Event")},
		"reasons, for GitOps":          {"gitops.md", "Reason", constants(t, vocabulary, "Reason")},
		"values of templates":          {templates, "Template value", dotted(rendering.Fields())},
		"metrics, for troubleshooting": {troubleshooting, "Metric", constants(t, "../controllers/metrics.go", "Metric")},
	} {
		t.Run(name, func(t *testing.T) {
			got := column(read(t, c.path), c.column)
			if len(c.want) == 0 {
				t.Fatal("nothing was found in the code: has it moved?")
			}
			for _, word := range c.want {
				if !slices.Contains(got, word) {
					t.Errorf("%s does not tell of %s in a column %q", c.path, word, c.column)
				}
			}
			for _, word := range got {
				if !slices.Contains(c.want, word) {
					t.Errorf("%s tells of %s in a column %q, and the code has no such thing", c.path, word, c.column)
				}
			}
		})
	}
}

// What kubectl prints is told column by column, as it stands there from left to right.
func TestTheColumnsOfKubectlGetAreTold(t *testing.T) {
	var crd struct {
		Spec struct {
			Versions []struct {
				Columns []struct {
					Name string `json:"name"`
					Path string `json:"jsonPath"`
				} `json:"additionalPrinterColumns"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "../config/crd/bases/secretserver.tokensync.dev_secretserversessions.yaml")), &crd); err != nil {
		t.Fatal(err)
	}
	var names, paths []string
	for _, version := range crd.Spec.Versions {
		for _, c := range version.Columns {
			names, paths = append(names, strings.ToUpper(c.Name)), append(paths, c.Path)
		}
	}
	if len(names) == 0 {
		t.Fatal("nothing was found in the CRD: has it moved?")
	}
	page := read(t, "status.md")
	if told := column(page, "Column"); !slices.Equal(told, names) {
		t.Errorf("\nstatus.md tells of the columns %q\n            the CRD has %q", told, names)
	}
	if told := column(page, "From"); !slices.Equal(told, paths) {
		t.Errorf("\nstatus.md takes them from %q\n         the CRD from %q", told, paths)
	}
}

// dotted are names as templates have them.
func dotted(names []string) []string {
	for i := range names {
		names[i] = "." + names[i]
	}
	return names
}

// The functions stand together in a few rows of one table.
func TestTheFunctionsOfTemplatesAreNamed(t *testing.T) {
	var named []string
	inTable := false
	for line := range strings.Lines(read(t, "templates.md")) {
		inTable = strings.HasPrefix(line, "| Function |") || inTable && strings.HasPrefix(line, "|")
		if inTable {
			cell := strings.Split(line, "|")[1]
			for _, match := range regexp.MustCompile("`([a-zA-Z0-9]+)`").FindAllStringSubmatch(cell, -1) {
				named = append(named, match[1])
			}
		}
	}
	slices.Sort(named)
	if want := rendering.Functions(); !slices.Equal(named, want) {
		t.Errorf("\ntemplates.md names %v\n    templates have %v", named, want)
	}
}

func TestTroubleshootingTellsWhatTemplatesAreRefusedWith(t *testing.T) {
	causes := constants(t, "../controllers/rendering/error.go", "")
	if len(causes) < 10 {
		t.Fatalf("found %d causes in the code: have they moved?", len(causes))
	}
	for _, cause := range causes {
		if !strings.Contains(read(t, "troubleshooting.md"), "\n| "+cause+" |") {
			t.Errorf("troubleshooting.md does not tell of %q", cause)
		}
	}
}

// column lists the words in backquotes that begin a cell of the column, in all tables which have it.
func column(text, heading string) []string {
	var words []string
	at := -1 // the column's place in the present table
	inTable := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			inTable = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if !inTable {
			inTable, at = true, slices.Index(cells, heading)
			continue
		}
		if at >= 0 && at < len(cells) && strings.HasPrefix(cells[at], "`") {
			words = append(words, strings.Split(cells[at], "`")[1])
		}
	}
	return words
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// flags are those that a program registers by flags.StringVar(&variable, "name", ...) and its like.
func flags(t *testing.T, path string) []string {
	t.Helper()
	var names []string
	ast.Inspect(parse(t, path), func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return true
		}
		function, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !strings.HasSuffix(function.Sel.Name, "Var") {
			return true
		}
		if on, ok := function.X.(*ast.Ident); ok && on.Name == "flags" {
			names = append(names, "--"+text(t, call.Args[1]))
		}
		return true
	})
	return names
}

// constants are the values of a file's string constants whose names begin with the prefix.
func constants(t *testing.T, path, prefix string) []string {
	t.Helper()
	var values []string
	for name, object := range declared(parse(t, path)) {
		if strings.HasPrefix(name, prefix) {
			values = append(values, text(t, object))
		}
	}
	return values
}

// declared maps a file's constants to their values.
func declared(file *ast.File) map[string]ast.Expr {
	constants := map[string]ast.Expr{}
	for _, declaration := range file.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.CONST {
			continue
		}
		for _, spec := range general.Specs {
			values := spec.(*ast.ValueSpec) //nolint:forcetypeassert // the token says so
			for i, value := range values.Values {
				constants[values.Names[i].Name] = value
			}
		}
	}
	return constants
}

func text(t *testing.T, expression ast.Expr) string {
	t.Helper()
	literal, ok := expression.(*ast.BasicLit)
	if !ok {
		t.Fatalf("want a string literal, got %T", expression)
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func statusFields() []string {
	var names []string
	for field := range reflect.TypeFor[api.SecretServerSessionStatus]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

var (
	code       = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
	makeTarget = regexp.MustCompile(`(?m)(?:^|[\x60;&|] *)make((?: +[a-zA-Z_=/:.0-9-]+)+)`)
	target     = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
)

func TestMakeTargetsExist(t *testing.T) {
	targets := map[string]bool{}
	for _, match := range target.FindAllStringSubmatch(read(t, "../Makefile"), -1) {
		targets[match[1]] = true
	}
	named := 0
	for path, text := range documents(t) {
		for _, snippet := range code.FindAllString(text, -1) {
			for _, match := range makeTarget.FindAllStringSubmatch(snippet, -1) {
				for word := range strings.FieldsSeq(match[1]) {
					if strings.Contains(word, "=") {
						continue // a variable
					}
					named++
					if !targets[word] {
						t.Errorf("%s names make %s, which the Makefile does not have", path, word)
					}
				}
			}
		}
	}
	if named == 0 {
		t.Error("no document names a target of the Makefile")
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noSlug  = regexp.MustCompile(`[^a-z0-9 _-]`)
)

func TestLinksResolve(t *testing.T) {
	texts := documents(t)
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		for _, match := range link.FindAllStringSubmatch(texts[path], -1) {
			if strings.Contains(match[1], "://") {
				if to, err := url.Parse(match[1]); err != nil || to.Scheme != "https" || to.Host == "" {
					t.Errorf("%s links to %s, which is no https URL", path, match[1])
				}
				continue // whether it is there is not for a test that works without a network
			}
			file, fragment, _ := strings.Cut(match[1], "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", path, match[1], err)
				continue
			}
			if fragment != "" && !slices.Contains(anchors(read(t, to)), fragment) {
				t.Errorf("%s links to %s, and %s has no such heading", path, match[1], to)
			}
		}
	}
}

func TestTheIndexListsEveryPage(t *testing.T) {
	const index = "README.md"
	text := read(t, index)
	for path := range documents(t) {
		row := regexp.MustCompile(`(?m)^\| \[[^]]+\]\(` + regexp.QuoteMeta(path) + `\) \| `)
		if path != index && path != "../"+index && !row.MatchString(text) {
			t.Errorf("%s has no row that begins with a link to %s", index, path)
		}
	}
}

// anchors are the fragments that a Markdown text's headings have on GitHub and GitLab.
func anchors(text string) []string {
	var all []string
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return all
}
