package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
)

// copies are the files below config/ that the chart has too, by directory of the
// chart's files/. A packaged chart holds no file outside its directory, and a
// link is no file. The chart asks for them by their last name.
func copies() map[string][]string {
	return map[string][]string{
		"crds":       {"config/crd/bases/secretserver.tokensync.dev_secretserversessions.yaml"},
		"prometheus": {"config/prometheus/dashboard.json", "config/prometheus/prometheus_rule.yaml"},
		"roles": {
			"config/rbac/role.yaml",
			"config/rbac/leader_election_role.yaml",
			"config/rbac/aggregated/secretserversession_editor_role.yaml",
			"config/rbac/aggregated/secretserversession_viewer_role.yaml",
			"config/components/metrics/metrics_auth_role.yaml",
			"config/components/metrics/metrics_reader_role.yaml",
			"config/prometheus/metrics_discovery_role.yaml",
		},
	}
}

// copyAll makes the chart's files/ anew, so that a file that is gone leaves
// nothing behind.
func copyAll(root string) error {
	files := filepath.Join(root, chartDir, "files")
	if err := os.RemoveAll(files); err != nil {
		return err
	}
	var errs []error
	for dir, sources := range copies() {
		for _, source := range sources {
			errs = append(errs, copyFile(filepath.Join(root, source), filepath.Join(files, dir, path.Base(source))))
		}
	}
	return errors.Join(errs...)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from) //nolint:gosec // of the repository
	if err != nil {
		return fmt.Errorf("copy into the chart: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // as git makes it
		return err
	}
	return os.WriteFile(to, content, 0o644) //nolint:gosec // as git makes it
}
