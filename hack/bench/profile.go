package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// profilingVariable names the address at which an operator that was built for it serves its profiles; see profiling.go at the
// repository's root. The operator inherits it.
const profilingVariable = "PROFILING"

// saveProfiles asks such an operator for its profiles over the time of a measurement, and then for its heap, which go beside the
// logs. Without the variable it does nothing: what is measured usually is not profiled.
func (r *run) saveProfiles(ctx context.Context, w *world) error {
	address := os.Getenv(profilingVariable)
	if address == "" {
		return nil
	}
	seconds := max(int(r.saturated.Seconds())-1, 1)
	for _, profile := range []struct{ file, query string }{
		{"cpu.pprof", fmt.Sprintf("profile?seconds=%d", seconds)}, {"heap.pprof", "heap"}, {"allocs.pprof", "allocs"},
	} {
		content, err := ask(ctx, http.MethodGet, "http://"+address+"/debug/pprof/"+profile.query, nil)
		if err == nil {
			err = os.WriteFile(filepath.Join(w.logs, profile.file), content, 0o600)
		}
		if err != nil {
			return fmt.Errorf("profile the operator: %w", err)
		}
	}
	return nil
}
