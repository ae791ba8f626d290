package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The programs that the tests run, by path, and a directory for what helm keeps.
type workshop struct {
	helm, kustomize, operator string
	home                      string
}

var tools workshop

const root = "../.."

func TestMain(m *testing.M) {
	if os.Getenv("HELM") == "" || os.Getenv("KUSTOMIZE") == "" {
		fmt.Fprintln(os.Stderr, "HELM and KUSTOMIZE are not set: `make test-chart` builds helm and kustomize and sets them; skipping")
		os.Exit(0)
	}
	code, err := perform(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// perform builds the operator and runs the tests.
func perform(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "chart-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tools = workshop{
		helm: os.Getenv("HELM"), kustomize: os.Getenv("KUSTOMIZE"),
		operator: filepath.Join(dir, "manager"), home: filepath.Join(dir, "home"),
	}
	if err := errors.Join(os.Mkdir(tools.home, 0o700), noticeSources()); err != nil {
		return 1, err
	}
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-o", tools.operator, root) //nolint:gosec // its own path
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the operator: %w\n%s", err, output)
	}
	return m.Run(), nil
}

// noticeSources looks at everything that other programs than the tests read, so
// that go test does not answer from its cache after a change.
func noticeSources() error {
	paths, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "api", "controllers", "charts", "config"} {
		paths = append(paths, filepath.Join(root, name))
	}
	for _, path := range paths {
		err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
