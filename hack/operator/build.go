package operator

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build builds the operator from the sources below root, as `make build` does, which shares what is compiled with it. Secret Server and
// the API server see the version as that of who asks.
//
// It also looks at everything that the operator is built of, so that go test does not answer from its cache after a change: that knows
// what a test has looked at, and not what it has had compiled.
func Build(ctx context.Context, root, binary, version string) error {
	if err := notice(root); err != nil {
		return err
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	flags := "-ldflags=-s -w -X main.version=" + version
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", flags, "-o", binary, ".") //nolint:gosec // the caller's own version
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the operator: %w\n%s", err, output)
	}
	return nil
}

func notice(root string) error {
	paths, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "api", "controllers"} {
		paths = append(paths, filepath.Join(root, name))
	}
	for _, path := range paths {
		err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && !strings.HasSuffix(path, "_test.go") {
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
