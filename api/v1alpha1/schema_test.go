package v1alpha1_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// definition is what these tests read of the CRD.
type definition struct {
	Spec struct {
		Names struct {
			Plural, Singular, Kind string
			ShortNames, Categories []string
		}
		Scope    string
		Versions []struct {
			Name         string
			Served       bool
			Storage      bool
			Subresources map[string]any
			Schema       struct{ OpenAPIV3Schema schema }
			Columns      []column `json:"additionalPrinterColumns"`
		}
	}
}

type column struct {
	Name, Type string
	Priority   int
}

// schema is one node of an OpenAPI schema.
type schema struct {
	Type, Description, Format string
	Properties                map[string]schema
	Items                     *schema
	AdditionalProperties      *schema
	Enum                      []string
	MaxLength                 *int
	MaxItems                  *int
	MaxProperties             *int
	Minimum, Maximum          *int
	Default                   any
	Validations               []struct{ Rule, Message string } `json:"x-kubernetes-validations"`
}

func readDefinition(t *testing.T) definition {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "secretserver.tokensync.dev_secretserversessions.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var d definition
	if err := yaml.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Spec.Versions) != 1 {
		t.Fatalf("the CRD has %d versions, want one", len(d.Spec.Versions))
	}
	return d
}

// walk visits every node below one, with its path; items of lists are [], values of maps {}.
func (s schema) walk(path string, visit func(path string, s schema)) {
	visit(path, s)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		s.Properties[name].walk(strings.TrimPrefix(path+"."+name, "."), visit)
	}
	if s.Items != nil {
		s.Items.walk(path+"[]", visit)
	}
	if s.AdditionalProperties != nil {
		s.AdditionalProperties.walk(path+"{}", visit)
	}
}

func TestDefinitionIsNamedAsDocumented(t *testing.T) {
	d := readDefinition(t).Spec
	if d.Names.Plural != "secretserversessions" || d.Names.Singular != "secretserversession" || d.Names.Kind != "SecretServerSession" {
		t.Errorf("names %+v", d.Names)
	}
	if got, want := d.Names.ShortNames, []string{"sss"}; !slices.Equal(got, want) {
		t.Errorf("short names %v, want %v", got, want)
	}
	if got, want := d.Names.Categories, []string{"tokensync"}; !slices.Equal(got, want) {
		t.Errorf("categories %v, want %v", got, want)
	}
	if d.Scope != "Namespaced" {
		t.Errorf("scope %s", d.Scope)
	}
	v := d.Versions[0]
	if _, ok := v.Subresources["status"]; v.Name != "v1alpha1" || !v.Served || !v.Storage || !ok {
		t.Errorf("version %s, served %t, stored %t, with a status subresource %t", v.Name, v.Served, v.Storage, ok)
	}
}

func TestColumnsStandInTheOrderOfTheContract(t *testing.T) {
	const wide = 1
	want := []column{
		{"Ready", "string", 0},
		{"Reason", "string", 0},
		{"Secret", "string", 0},
		{"Expires", "string", 0}, // a date would show how long ago it was, and one to come as <invalid>
		{"Next Refresh", "string", 0},
		{"Refreshes", "integer", 0},
		{"Age", "date", 0},
		{"Endpoint", "string", wide},
		{"Logins", "integer", wide},
		{"Last Grant", "string", wide},
	}
	if got := readDefinition(t).Spec.Versions[0].Columns; !slices.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	readDefinition(t).Spec.Versions[0].Schema.OpenAPIV3Schema.walk("", func(path string, s schema) {
		if s.Description == "" && path != "metadata" { // which the API server describes
			t.Errorf("%s has no description: kubectl explain has nothing to tell", path)
		}
	})
}

// A description that begins with its field's name, as Go's conventions have it, tells that it was written for that
// field and not taken over from its type.
func TestEveryFieldOfTheSpecIsDescribedByItsName(t *testing.T) {
	readDefinition(t).Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].walk("spec", func(path string, s schema) {
		name := path[strings.LastIndex(path, ".")+1:]
		if !strings.HasSuffix(name, "{}") && !strings.HasPrefix(s.Description, name) {
			t.Errorf("%s is described as %q", path, s.Description)
		}
	})
}

// kubectl explain shows neither defaults nor bounds, so the descriptions do.
func TestDescriptionsTellDefaultsBoundsAndUnits(t *testing.T) {
	told := 0
	readDefinition(t).Spec.Versions[0].Schema.OpenAPIV3Schema.walk("", func(path string, s schema) {
		words := s.Enum
		if s.Default != nil && s.Type != "object" {
			words = append(words, "default", fmt.Sprint(s.Default))
		}
		for _, bound := range []*int{s.Minimum, s.Maximum} {
			if bound != nil && !strings.HasPrefix(path, "status.conditions") && *bound != 0 {
				words = append(words, strconv.Itoa(*bound))
			}
		}
		if strings.HasPrefix(path, "spec") && s.MaxProperties != nil {
			words = append(words, strconv.Itoa(*s.MaxProperties))
		}
		if strings.HasSuffix(path, "Seconds") {
			words = append(words, "seconds")
		}
		if s.Format == "date-time" && !strings.HasPrefix(path, "status.conditions") {
			words = append(words, "when")
		}
		description := strings.Join(strings.Fields(s.Description), " ")
		for _, word := range words {
			told++
			if !strings.Contains(description, word) {
				t.Errorf("%s: the description does not tell %q: %s", path, word, description)
			}
		}
	})
	if told < 25 {
		t.Errorf("found %d defaults, bounds and units", told)
	}
}

func TestEveryStringListAndMapOfTheSpecIsBounded(t *testing.T) {
	readDefinition(t).Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].walk("spec", func(path string, s schema) {
		switch {
		case s.Type == "string" && s.MaxLength == nil && len(s.Enum) == 0:
			t.Errorf("%s may be of any length", path)
		case s.Type == "array" && s.MaxItems == nil:
			t.Errorf("%s may have any number of items", path)
		case s.AdditionalProperties != nil && s.MaxProperties == nil:
			t.Errorf("%s may have any number of entries", path)
		}
	})
}

// Each CEL rule has a case that it refuses, known by its advice; and none is without advice.
func TestEveryRuleHasACaseThatItRefuses(t *testing.T) {
	advice := []string{typeStays}
	for _, r := range slices.Concat(sessionRules, endpointRules, credentialsRules, targetRules, labelRules, annotationRules, dataRules) {
		if r.advice != "" {
			advice = append(advice, r.advice)
		}
	}
	readDefinition(t).Spec.Versions[0].Schema.OpenAPIV3Schema.walk("", func(path string, s schema) {
		for _, v := range s.Validations {
			if v.Message == "" {
				t.Errorf("%s: rule %s has no message", path, v.Rule)
			} else if !slices.ContainsFunc(advice, func(a string) bool { return strings.Contains(v.Message, a) }) {
				t.Errorf("%s: no case is refused with %q", path, v.Message)
			}
		}
	})
}
