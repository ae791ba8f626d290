package image

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

const root = "../.."

// stages are those of the Dockerfile: the first builds, the last is the image.
func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Errorf("Dockerfile: %s", w.Short)
	}
	found, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 {
		t.Fatalf("want a stage that builds and one that is the image, got %d", len(found))
	}
	return found
}

// commands are those of a kind in a stage.
func commands[T any](stage instructions.Stage) []T {
	var found []T
	for _, c := range stage.Commands {
		if typed, ok := c.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// admitted are the files which .dockerignore lets into the build, by path from the root.
func admitted(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin") {
			return cmp.Or(err, filepath.SkipDir)
		}
		name, err := filepath.Rel(root, path)
		if err != nil || entry.IsDir() {
			return err
		}
		ignored, err := matcher.MatchesOrParentMatches(name)
		if err == nil && !ignored {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestOnlySourcesGetIntoTheBuild(t *testing.T) {
	files := admitted(t)
	others := []string{"go.mod", "go.sum", "operator.pgo"} // the compiler reads them
	for _, name := range append(others, "main.go") {
		if !slices.Contains(files, name) {
			t.Errorf("%s is missing: %q", name, files)
		}
	}
	for _, name := range files {
		source := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
		testdata := strings.Contains(name, "testdata/")
		if !source && !testdata && !slices.Contains(others, name) {
			t.Errorf("%s gets in", name)
		}
	}
}

func TestTheCompilerIsThatOfTheModule(t *testing.T) {
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(module)
	if want := "golang:" + string(version[1]); stages(t)[0].BaseName != want {
		t.Errorf("the build stage is from %s, want %s", stages(t)[0].BaseName, want)
	}
}

func TestTheImageRunsTheProgramAsNobody(t *testing.T) {
	image := stages(t)[1]
	users := commands[*instructions.UserCommand](image)
	if len(users) != 1 || !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(users[0].User) {
		t.Errorf("want one USER of two numbers that are not root's, got %v", users)
	}
	copies := commands[*instructions.CopyCommand](image)
	if len(copies) != 1 || copies[0].From != "build" || !slices.Equal(copies[0].SourcePaths, []string{output}) {
		t.Fatalf("want one COPY, of %s from the build, got %v", output, copies)
	}
	entries := commands[*instructions.EntrypointCommand](image)
	if len(entries) != 1 || entries[0].PrependShell || !slices.Equal(entries[0].CmdLine, []string{copies[0].DestPath}) {
		t.Errorf("want the program as the entry point, without a shell, got %v", entries)
	}
	if runs := commands[*instructions.RunCommand](image); len(runs) != 0 {
		t.Errorf("nothing can run in a base without a shell: %v", runs)
	}
}

func TestLabelsTellWhatWasBuilt(t *testing.T) {
	labels := map[string]string{}
	for _, command := range commands[*instructions.LabelCommand](stages(t)[1]) {
		for _, pair := range command.Labels {
			labels[pair.Key] = strings.Trim(pair.Value, `"`)
		}
	}
	const prefix = "org.opencontainers.image."
	for name, want := range map[string]string{
		"title": "secret-server-operator", "licenses": "Apache-2.0", "version": "$VERSION", "revision": "$COMMIT", "created": "$DATE",
	} {
		if labels[prefix+name] != want {
			t.Errorf("label %s is %q, want %q", prefix+name, labels[prefix+name], want)
		}
	}
}
