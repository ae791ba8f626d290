package image

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// output is where the build stage leaves the program.
const output = "/out/manager"

// What the builds here are stamped with.
const (
	version = "v1.2.3"
	commit  = "0123456789abcdef"
	date    = "2026-01-02T03:04:05Z"
)

// A build is a program, and the directory that it was built in.
type build struct{ program, directory string }

// buildStage does in a fresh directory what the Dockerfile's build stage does.
func buildStage(t *testing.T, architecture string) build {
	t.Helper()
	directory := t.TempDir()
	source, result := filepath.Join(directory, "src"), filepath.Join(directory, "out")
	for _, name := range admitted(t) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stage := stages(t)[0]
	expectCopied(t, stage, source)
	for _, run := range commands[*instructions.RunCommand](stage) {
		script := strings.ReplaceAll(strings.Join(run.CmdLine, " "), filepath.Dir(output)+"/", result+"/")
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script) //nolint:gosec // the Dockerfile's own
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "TARGETOS=linux", "TARGETARCH="+architecture,
			"VERSION="+version, "COMMIT="+commit, "DATE="+date)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, text)
		}
	}
	return build{filepath.Join(result, filepath.Base(output)), directory}
}

// expectCopied holds that whatever is admitted is copied, and whatever is to be copied is there.
func expectCopied(t *testing.T, stage instructions.Stage, source string) {
	t.Helper()
	copied := map[string]bool{}
	for _, c := range commands[*instructions.CopyCommand](stage) {
		for _, pattern := range c.SourcePaths {
			found, err := filepath.Glob(filepath.Join(source, pattern))
			if err != nil || len(found) == 0 {
				t.Errorf("COPY %s finds nothing: %v", pattern, err)
			}
			for _, path := range found {
				copied[path] = true
			}
		}
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !copied[filepath.Join(source, e.Name())] {
			t.Errorf("%s is admitted and not copied", e.Name())
		}
	}
}

func TestTheSameCommitGivesTheSameBytes(t *testing.T) {
	for _, architecture := range []string{"amd64", "arm64"} {
		t.Run(architecture, func(t *testing.T) {
			one, two := digest(t, buildStage(t, architecture)), digest(t, buildStage(t, architecture))
			if one != two {
				t.Error("two builds in different directories differ")
			}
			if made := makeBuildAll(t, architecture); digest(t, made) != one {
				t.Error("what `make build-all` builds is not what the Dockerfile builds")
			}
		})
	}
}

func digest(t *testing.T, b build) [sha256.Size]byte {
	t.Helper()
	text, err := os.ReadFile(b.program)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(b.directory)) {
		t.Errorf("%s tells that it was built in %s", b.program, b.directory)
	}
	return sha256.Sum256(text)
}

// makeBuildAll builds by the Makefile, of the tree itself, into a directory of its own.
func makeBuildAll(t *testing.T, architecture string) build {
	t.Helper()
	to := t.TempDir()
	directory, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	variables := []string{"DIST=" + to, "PLATFORMS=linux/" + architecture, "VERSION=" + version, "COMMIT=" + commit, "DATE=" + date}
	cmd := exec.CommandContext(t.Context(), "make", append(variables, "-C", root, "build-all")...) //nolint:gosec // its own
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make build-all: %v\n%s", err, text)
	}
	return build{filepath.Join(to, "manager-linux-"+architecture), directory}
}

func TestVersionTellsWhatWasBuilt(t *testing.T) {
	program := buildStage(t, runtime.GOARCH).program
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), program, "--version").Output() //nolint:gosec // built a moment ago
	if err != nil {
		t.Fatal(err)
	}
	want := "secret-server-operator " + version + " commit=" + commit + " date=" + date +
		" go=" + info.GoVersion + " platform=linux/" + runtime.GOARCH + "\n"
	if string(text) != want {
		t.Errorf("got  %swant %s", text, want)
	}
}
